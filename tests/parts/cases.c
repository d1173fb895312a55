/*
 * Recorded runs of the tiny models. Argument: the model, "zimage-a".
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/graph/kernels.h"
#include "tests/golden.h"
#include "tests/ops/vk/device.h"
#include "tests/parts/recorded.h"

static struct tolerances tolerances = {
	.latents = 3e-5, .guided_latents = 1e-4, .pixels = 5e-5, .guided_pixels = 5e-5,
	.encoded = 3e-3,
};

/* What the sets of EASEL_KERNELS that round operands may be off by, in parts of a tensor's largest value. */
static double rounding(void)
{
	const char *name = getenv("EASEL_KERNELS");

	for (unsigned i = 0; name && i < KERNEL_SETS; i++)
		if (!strcmp(kernel_sets[i].name, name))
			return kernel_sets[i].error > 1e-5 ? 3 * kernel_sets[i].error : 0;
	return 0;
}

/* Of this program; scandir() gives its filter nothing else. */
static const char *model;
static struct vk *vk;

static int is_case(const struct dirent *entry)
{
	size_t n = strlen(model);

	return !strncmp(entry->d_name, model, n) && entry->d_name[n] == '.' &&
		strstr(entry->d_name, ".json");
}

static void check_case(struct pipeline *p, const char *name)
{
	char tensors[512], pictures[512];
	json_t *root = golden_json(golden_path("cases/%s.json", name));
	const struct recording rec = {
		.name = name, .request = json_object_get(root, "request"),
		.tensors = tensors, .pictures = pictures, .tolerances = tolerances,
	};

	snprintf(tensors, sizeof tensors, "cases/%s.safetensors", name);
	snprintf(pictures, sizeof pictures, "cases/%s", name);
	recorded_check(p, &rec);
	json_decref(root);
}

static void test_cases(void **unused)
{
	struct dirent **entries;
	struct fixture f;
	int i, n = scandir(golden_path("cases"), &entries, is_case, alphasort);

	(void)unused;
	assert_true(n > 0);
	fixture_open(&f, vk, golden_path("models/%s", model));
	for (i = 0; i < n; i++) {
		*strstr(entries[i]->d_name, ".json") = 0;
		check_case(f.pipeline, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	fixture_close(&f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases) };
	int result;

	model = argc > 1 ? argv[1] : "zimage-a";
	tolerances.rounded = rounding();
	vk = device_open();
	result = cmocka_run_group_tests(tests, NULL, NULL);
	return device_close(&vk, result);
}
