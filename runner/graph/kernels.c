/*
 * The table of kernel sets and the choice among them. Owns the threads of host kernels.
 */
#include "runner/graph/kernels.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "runner/host/cores.h"
#include "runner/host/int8.h"
#include "runner/host/matmul.h"

static bool any_device(const struct vk *vk)
{
	(void)vk;
	return true;
}

static bool hardware(const struct vk *vk)
{
	return vk_info(vk)->type != VK_SOFTWARE;
}

/* Those of shaders/lib/tile_matrix.glsl need 24 KiB. */
static bool has_matrix(const struct vk *vk)
{
	return vk_limits(vk)->matrix.m && vk_limits(vk)->shared_bytes >= 32768;
}

/* A software device computes with the host's cores, and its buffers are the host's memory. */
static bool software_device(const struct vk *vk)
{
	return !hardware(vk) && vk_limits(vk)->shares_memory;
}

static bool software_with_bf16(const struct vk *vk)
{
	return software_device(vk) && host_has_bf16();
}

static bool software_with_int8(const struct vk *vk)
{
	return software_device(vk) && host_int8_exact();
}

const struct kernel_set_row kernel_sets[KERNEL_SETS] = {
	[KERNELS_SHUFFLE] = {
		.name = "shuffle", .falls_back = KERNELS_SHUFFLE, .runs_on = any_device, .chosen_on = any_device,
		.error = 2e-6,
	},
	[KERNELS_TILE] = {
		.name = "tile", .falls_back = KERNELS_SHUFFLE, .runs_on = any_device, .chosen_on = hardware,
		.checked = true, .error = 2e-6,
	},
	/* Rounds operands and gains half the shared memory's traffic: not by itself. */
	[KERNELS_TILE_F16] = {
		.name = "tile_f16", .falls_back = KERNELS_TILE, .runs_on = any_device, .checked = true, .error = 1e-3,
	},
	[KERNELS_MATRIX] = {
		.name = "matrix", .falls_back = KERNELS_TILE, .runs_on = has_matrix, .chosen_on = has_matrix,
		.needs = "a device with matrix units for float16", .checked = true, .error = 1e-3,
	},
	[KERNELS_HOST] = {
		.name = "host", .falls_back = KERNELS_SHUFFLE, .runs_on = software_device,
		.chosen_on = software_device, .needs = "a software device", .error = 2e-6, .host = true,
	},
	[KERNELS_HOST_BF16] = {
		.name = "host-bf16", .falls_back = KERNELS_HOST, .runs_on = software_with_bf16,
		.needs = "a software device on a processor with AVX512-BF16", .error = 8e-3, .host = true,
	},
	[KERNELS_HOST_INT8] = {
		.name = "host-int8", .falls_back = KERNELS_HOST, .runs_on = software_with_int8,
		.needs = "a software device on a processor with AVX512-VNNI", .error = 2e-2, .host = true,
		.int8_rows = true,
	},
};

static int find(const char *name, enum kernel_set *ret, struct err *err)
{
	char names[128] = "";

	for (unsigned i = 0; i < KERNEL_SETS; i++) {
		if (!strcasecmp(kernel_sets[i].name, name)) {
			*ret = (enum kernel_set)i;
			return 0;
		}
		strncat(names, " ", sizeof names - strlen(names) - 1);
		strncat(names, kernel_sets[i].name, sizeof names - strlen(names) - 1);
	}
	return err_set(err, -EINVAL, "EASEL_KERNELS '%.40s' is none of:%s", name, names);
}

static int choose(const struct vk *vk, const char *name, enum kernel_set *ret, struct err *err)
{
	int r;

	if (!name || !*name) {
		for (unsigned i = 0; i < KERNEL_SETS; i++)
			if (kernel_sets[i].chosen_on && kernel_sets[i].chosen_on(vk))
				*ret = (enum kernel_set)i;
		return 0;
	}
	r = find(name, ret, err);
	if (r < 0 || kernel_sets[*ret].runs_on(vk))
		return r;
	return err_set(err, -ENOTSUP, "EASEL_KERNELS '%s' needs %s, which %s is not", kernel_sets[*ret].name,
		       kernel_sets[*ret].needs, vk_info(vk)->name);
}

int kernels_open(struct vk *vk, const char *name, struct kernels *ret, struct err *err)
{
	int r;

	*ret = (struct kernels){ 0 };
	r = choose(vk, name, &ret->set, err);
	if (r == 0 && kernel_sets[ret->set].host)
		r = host_pool_create(host_cores(), &ret->pool, err);
	return r;
}

void kernels_close(struct kernels *k)
{
	host_pool_destroy(&k->pool);
}
