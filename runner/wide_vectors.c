/*
 * Whether the software device may compute in vectors of 512 bits. Opens the device and
 * closes it again; leaves one environment variable. Main thread, before all others.
 */
#include "runner/wide_vectors.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "common/settings.h"
#include "runner/ops/self_check.h"

static const char variable[] = "LP_NATIVE_VECTOR_WIDTH";

/* As vk_device_info.driver begins. Mesa 25.0 reads wrong texels at this width, others were not tried. */
static const char *const known_drivers[] = { "llvmpipe Mesa 22.3." };
enum { LANES = 512 / 32 };

static bool processor_has_them(void)
{
#ifdef __x86_64__
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
	return false;
#endif
}

static bool wanted(void)
{
	char *kernels = settings_get("KERNELS");
	const bool shuffle = kernels && !strcasecmp(kernels, kernel_sets[KERNELS_SHUFFLE].name);

	free(kernels);
	return shuffle && !getenv(variable) && processor_has_them();
}

static bool known(const struct vk_device_info *info)
{
	for (size_t i = 0; i < sizeof known_drivers / sizeof *known_drivers; i++)
		if (info->type == VK_SOFTWARE && !strncmp(info->driver, known_drivers[i], strlen(known_drivers[i])))
			return true;
	return false;
}

static bool computes_right(struct vk *vk)
{
	struct err err;

	if (vk_limits(vk)->subgroup_size != LANES)
		return false;
	if (kernels_self_check(vk, (struct kernels){ .set = KERNELS_SHUFFLE }, &err) == 0)
		return true;
	log_warn("%s: not with vectors of 512 bits: %s", vk_info(vk)->name, err.text);
	return false;
}

void wide_vectors_choose(void)
{
	char *device = settings_get("DEVICE");
	struct vk *vk = NULL;
	struct err err;
	bool keep = false;

	if (wanted() && setenv(variable, "512", 0) == 0) {
		/* No device is the GPU thread's to report. */
		if (vk_open(device, &vk, &err) == 0)
			keep = known(vk_info(vk)) && computes_right(vk);
		vk_close(&vk);
		if (!keep)
			unsetenv(variable);
		log_debug("vectors of 512 bits: %s", keep ? "yes" : "no");
	}
	free(device);
}
