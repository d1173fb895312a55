/*
 * latent_rgb.c: every colour where it belongs, packed or not; files that do not fit.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "runner/vae/latent_rgb.h"

enum { H = 2, W = 3, CHANNELS = 2 };

/* Row i gives i + 10 (first channel) + 100 (second). */
static struct latent_rgb *create(uint32_t pack)
{
	json_t *file = json_pack("{s[]s[]}", "matrix", "offset");
	struct latent_rgb *m;
	struct err err;

	for (uint32_t i = 0; i < 3 * pack * pack; i++) {
		json_array_append_new(json_object_get(file, "matrix"), json_pack("[ii]", 10, 100));
		json_array_append_new(json_object_get(file, "offset"), json_integer(i));
	}
	assert_int_equal(latent_rgb_create(file, CHANNELS, pack, &m, &err), 0);
	json_decref(file);
	return m;
}

static void test_places(void **unused)
{
	static const float latent[CHANNELS * H * W] = { 0, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 1 };

	(void)unused;
	for (uint32_t pack = 1; pack <= 2; pack++) {
		float rgb[H * W * 3 * 4];
		struct latent_rgb *m = create(pack);

		latent_rgb_project(m, latent, H, W, rgb);
		for (uint32_t y = 0; y < H * pack; y++)
			for (uint32_t x = 0; x < W * pack; x++)
				for (uint32_t c = 0; c < 3; c++) {
					uint32_t at = y / pack * W + x / pack;
					uint32_t row = (y % pack * pack + x % pack) * 3 + c;
					float want = (float)row + 10 * latent[at] + 100 * latent[H * W + at];

					assert_float_equal(rgb[(y * W * pack + x) * 3 + c], want, 1e-4);
				}
		latent_rgb_free(m);
	}
}

static void test_files(void **unused)
{
	static const char *const bad[] = {
		"[]", "{}", "1", "{\"matrix\":[[1],[1],[1]]}", "{\"matrix\":[[1],[1]],\"offset\":[0,0,0]}",
		"{\"matrix\":[[1],[1],[1]],\"offset\":[0,0]}", "{\"matrix\":[[1],[1],[\"1\"]],\"offset\":[0,0,0]}",
		"{\"matrix\":[[1],[1],[1,2]],\"offset\":[0,0,0]}", "{\"matrix\":[[1],[1],[1e39]],\"offset\":[0,0,0]}",
		"{\"matrix\":{},\"offset\":[0,0,0]}",
	};
	struct latent_rgb *m;
	struct err err;

	(void)unused;
	assert_int_equal(latent_rgb_create(NULL, 1, 1, &m, &err), 0);
	assert_null(m);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		json_t *file = json_loads(bad[i], JSON_DECODE_ANY, NULL);

		assert_non_null(file);
		assert_int_equal(latent_rgb_create(file, 1, 1, &m, &err), -EINVAL);
		assert_non_null(strstr(err.text, "vae/latent_rgb.json: \"matrix\" must be 3 rows of 1 numbers"));
		json_decref(file);
	}
	latent_rgb_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_places), cmocka_unit_test(test_files) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
