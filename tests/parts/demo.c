/*
 * The pictures of the trained demo model against those that diffusers drew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/golden.h"
#include "tests/ops/vk/device.h"
#include "tests/parts/recorded.h"

/* A trained model amplifies rounding more than random weights do. */
static const struct tolerances tolerances = {
	.latents = 3e-4, .guided_latents = 3e-4, .pixels = 1e-3, .guided_pixels = 1e-3,
};

static struct vk *vk;

static void check_picture(struct pipeline *p, const json_t *row)
{
	char tensors[512], pictures[512];
	const struct recording rec = {
		.name = json_string_value(json_object_get(row, "name")),
		.request = json_object_get(row, "request"),
		.tensors = tensors, .pictures = pictures, .tolerances = tolerances,
	};
	const char *png = json_string_value(json_object_get(row, "png"));

	snprintf(tensors, sizeof tensors, "demo/%s",
		 json_string_value(json_object_get(row, "tensors")));
	snprintf(pictures, sizeof pictures, "demo/%.*s", (int)(strlen(png) - strlen(".png")), png);
	recorded_check(p, &rec);
}

static void test_pictures(void **unused)
{
	json_t *index = golden_json(golden_path("demo/index.json"));
	struct fixture f;
	size_t i;

	(void)unused;
	fixture_open(&f, vk, DEMO_MODEL);
	assert_true(json_array_size(index) >= 10);
	for (i = 0; i < json_array_size(index); i++)
		check_picture(f.pipeline, json_array_get(index, i));
	fixture_close(&f);
	json_decref(index);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_pictures) };

	vk = device_open();
	return device_close(&vk, cmocka_run_group_tests(tests, NULL, NULL));
}
