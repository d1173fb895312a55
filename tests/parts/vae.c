/*
 * The decoder against recorded stages, and decoding in tiles when the device has too
 * little room for the whole.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/noise.h"
#include "runner/pipeline_private.h"
#include "runner/vk/testing.h"
#include "tests/golden.h"
#include "tests/ops/vk/device.h"
#include "tests/parts/fixture.h"

static struct vk *vk;

static void on_tap(void *context, const char *name, const float *data, size_t n)
{
	taps_add(context, name, data, n);
}

/* [1, c, h, w] as recorded, [h * w, c] as tapped. */
static void compare_planes(const struct taps *taps, const char *name, const struct safetensors *st)
{
	const struct st_tensor *t = safetensors_find(st, name);
	size_t n, i, channels = (size_t)t->shape[1];
	const float *want = golden_floats(st, name, &n);
	const struct tap *tap;
	char tapped[128];
	float *planes;

	snprintf(tapped, sizeof tapped, "vae.%s", name);
	tap = taps_find(taps, strcmp(name, "decoded_mean") ? tapped : "vae_out");
	if (!tap || tap->n != n)
		fail_msg("%s was not tapped or has another size", name);
	planes = malloc(n * sizeof *planes);
	assert_non_null(planes);
	for (i = 0; i < n; i++)
		planes[i % channels * (n / channels) + i / channels] = tap->data[i];
	if (!(max_difference(planes, want, n) <= 5e-5 * fmax(1, rms(want, n))))
		fail_msg("%s is off by %g", name, max_difference(planes, want, n));
	free(planes);
}

/* What the sampler would leave for the decoder to see these values. */
static float *unscaled(const char *model, const float *z, size_t n)
{
	json_t *config = golden_json(golden_path("models/%s/vae/config.json", model));
	double scaling = json_number_value(json_object_get(config, "scaling_factor"));
	double shift = json_number_value(json_object_get(config, "shift_factor"));
	float *latent = malloc(n * sizeof *latent);
	size_t i;

	assert_non_null(latent);
	for (i = 0; i < n; i++)
		latent[i] = (float)((z[i] - shift) * scaling);
	json_decref(config);
	return latent;
}

static void check_recording(struct pipeline *p, const char *file)
{
	struct taps taps = { 0 };
	const struct pipeline_hooks hooks = { .context = &taps, .tap = on_tap };
	struct safetensors st;
	const struct st_tensor *mean;
	float *latent, *pixels;
	struct err err;
	size_t i, n;

	golden_map(golden_path("vae/%s", file), &st);
	mean = safetensors_find(&st, "mean");
	latent = unscaled("zimage-a", golden_floats(&st, "mean", &n), st_tensor_elements(mean));
	pixels = calloc(mean->shape[2] * mean->shape[3], 64 * 3 * sizeof *pixels);
	assert_non_null(pixels);
	p->shop.hooks = &hooks;
	if (decode_latent(p, latent, (uint32_t)mean->shape[2], (uint32_t)mean->shape[3], pixels,
			  &err) < 0)
		fail_msg("%s: %s", file, err.text);
	p->shop.hooks = NULL;
	for (i = 0; i < st.n_tensors; i++)
		if (!strncmp(st.tensors[i].name, "decode", 6))
			compare_planes(&taps, st.tensors[i].name, &st);
	taps_free(&taps);
	free(latent);
	free(pixels);
	safetensors_finish(&st);
}

static void test_recorded_stages(void **unused)
{
	struct fixture f;

	(void)unused;
	fixture_open(&f, vk, golden_path("models/zimage-a"));
	check_recording(f.pipeline, "zimage-a.64x64.safetensors");
	check_recording(f.pipeline, "zimage-a.96x80.safetensors");
	fixture_close(&f);
}

enum { H = 70, W = 66, SIDE = 64, CHANNELS = 16, PX = 8, RGB = 3 };

static float *decode(struct pipeline *p, const float *latent, uint32_t h, uint32_t w)
{
	float *pixels = calloc((size_t)h * w, PX * PX * RGB * sizeof *pixels);
	struct err err = { 0 };

	assert_non_null(pixels);
	if (decode_latent(p, latent, h, w, pixels, &err) < 0)
		fail_msg("%s", err.text);
	return pixels;
}

/* The first tile's own part of the picture is that tile decoded alone. */
static void check_first_tile(struct pipeline *p, const float *latent, const float *tiled)
{
	enum { OWN = SIDE * 3 / 4 * PX };
	float *corner = calloc(CHANNELS, SIDE * SIDE * sizeof *corner), *alone;
	uint32_t c, y;

	assert_non_null(corner);
	for (c = 0; c < CHANNELS; c++)
		for (y = 0; y < SIDE; y++)
			memcpy(corner + (c * SIDE + y) * SIDE, latent + (c * H + y) * W,
			       SIDE * sizeof *corner);
	alone = decode(p, corner, SIDE, SIDE);
	for (y = 0; y < OWN; y++)
		assert_true(max_difference(tiled + (size_t)y * W * PX * RGB,
					   alone + (size_t)y * SIDE * PX * RGB, OWN * RGB) <= 1e-6);
	free(corner);
	free(alone);
}

static void test_tiles_when_room_is_short(void **unused)
{
	struct vk_limits limits = *vk_limits(vk);
	static float latent[CHANNELS * H * W];
	float *whole, *tiled;
	struct fixture f;
	struct noise noise;
	struct err err;
	uint64_t bytes;
	uint32_t side;

	(void)unused;
	noise_seed(&noise, 1);
	noise_draw(&noise, latent, CHANNELS * H * W);
	fixture_open(&f, vk, golden_path("models/zimage-wide"));

	assert_int_equal(decode_plan(f.pipeline, H, W, &side, &bytes, &err), 0);
	assert_int_equal(side, H);
	whole = decode(f.pipeline, latent, H, W);

	limits.arena_size = bytes - 1;
	vk_limits_override(vk, &limits);
	assert_int_equal(decode_plan(f.pipeline, H, W, &side, &bytes, &err), 0);
	assert_int_equal(side, SIDE);
	tiled = decode(f.pipeline, latent, H, W);
	check_first_tile(f.pipeline, latent, tiled);
	/* Statistics are a tile's own, so the two differ: that shows tiling took place. */
	assert_true(max_difference(whole, tiled, (size_t)H * W * PX * PX * RGB) > 1e-5);
	free(whole);
	free(tiled);
	fixture_close(&f);
}

static void note_work(void *context, const char *phase, uint32_t step, uint32_t total)
{
	(void)phase;
	(void)step;
	(void)total;
	*(bool *)context = true;
}

static void test_no_room_at_all(void **unused)
{
	const struct vk_limits real = *vk_limits(vk);
	struct vk_limits limits = real;
	const struct pipeline_request request = {
		.prompt = "cat", .width = 64, .height = 64, .steps = 1, .cfg_truncation = 1,
	};
	bool worked = false;
	const struct pipeline_hooks hooks = { .context = &worked, .progress = note_work };
	uint64_t bytes;
	uint32_t side;
	int i;
	struct buf png = BUF_INIT(1 << 20);
	struct err err = { 0 };
	struct fixture f;

	(void)unused;
	fixture_open(&f, vk, golden_path("models/zimage-a"));
	assert_int_equal(decode_plan(f.pipeline, 8, 8, &side, &bytes, &err), 0);
	for (i = 0; i < 2; i++) {
		limits.arena_size = i ? bytes - 1 : 4096;
		vk_limits_override(vk, &limits);
		assert_int_equal(pipeline_generate(f.pipeline, &request, &hooks, &png, &err),
				 -ENOMEM);
		assert_non_null(strstr(err.text, "choose a smaller size"));
		assert_false(worked);
	}
	limits.arena_size = real.arena_size;
	vk_limits_override(vk, &limits);
	assert_int_equal(pipeline_generate(f.pipeline, &request, NULL, &png, &err), 0);
	buf_finish(&png);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded_stages),
		cmocka_unit_test(test_no_room_at_all),
		cmocka_unit_test(test_tiles_when_room_is_short),
	};

	vk = device_open();
	return device_close(&vk, cmocka_run_group_tests(tests, NULL, NULL));
}
