/*
 * Pictures that are not finished: when they come and how large, by the VAE and by a linear
 * guess, of packed latents too; and that the finished one does not know of them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/pipeline_private.h"
#include "tests/golden.h"
#include "tests/ops/vk/device.h"
#include "tests/parts/fixture.h"

static struct vk *vk;

struct seen {
	unsigned n;
	uint32_t width, height;
	int fails;                      /* what the hook returns */
};

static int note(void *context, struct image *rgb, struct err *err)
{
	struct seen *s = context;

	s->n++;
	s->width = rgb->width;
	s->height = rgb->height;
	assert_int_equal(rgb->channels, 3);
	image_finish(rgb);
	return s->fails ? err_set(err, s->fails, "no more") : 0;
}

static struct pipeline_request request(uint32_t width, uint32_t height, uint32_t steps, unsigned wanted)
{
	return (struct pipeline_request){
		.prompt = "cat", .width = width, .height = height, .steps = steps, .seed = 42,
		.cfg_truncation = 1, .partial_images = wanted,
	};
}

static struct buf draw(struct fixture *f, const struct pipeline_request *r, struct seen *seen)
{
	const struct pipeline_hooks hooks = { .context = seen, .partial = note };
	struct buf png = BUF_INIT(1 << 20);
	struct err err;

	if (fixture_png(f->pipeline, r, &hooks, &png, &err) < 0)
		fail_msg("%s", err.text);
	return png;
}

static void test_when(void **unused)
{
	static const struct {
		uint32_t steps;
		unsigned wanted;
		const char *due;        /* an x for each step that one comes behind */
	} rows[] = {
		{ 8, 0, "........" }, { 8, 1, "...x...." }, { 8, 3, ".x.x.x.." }, { 9, 2, "..x..x..." }, { 1, 3, "." },
		{ 2, 3, "x." }, { 3, 3, "xx." }, { 4, 3, "xxx." },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (uint32_t step = 0; step <= rows[i].steps; step++)
			assert_int_equal(preview_is_due(step, rows[i].steps, rows[i].wanted),
					 step && rows[i].due[step - 1] == 'x');
}

/* Without a linear guess: at most 32 of the VAE's positions a side. */
static void test_by_the_vae(void **unused)
{
	static const struct {
		const char *model;
		uint32_t width, height, want_width, want_height;
	} rows[] = {
		{ "zimage-a", 64, 96, 64, 96 }, { "zimage-a", 272, 64, 136, 32 },
		{ "klein-a", 64, 96, 64, 96 }, { "klein-a", 272, 64, 144, 32 },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct pipeline_request r = request(rows[i].width, rows[i].height, 3, 2);
		struct seen seen = { 0 }, none = { 0 };
		struct buf with, without;
		struct fixture f;

		fixture_open(&f, vk, golden_path("models/%s", rows[i].model));
		with = draw(&f, &r, &seen);
		assert_int_equal(seen.n, 2);
		assert_int_equal(seen.width, rows[i].want_width);
		assert_int_equal(seen.height, rows[i].want_height);
		r.partial_images = 0;
		without = draw(&f, &r, &none);
		assert_int_equal(none.n, 0);
		assert_int_equal(with.len, without.len);
		assert_memory_equal(with.data, without.data, with.len);
		buf_finish(&with);
		buf_finish(&without);
		fixture_close(&f);
	}
}

/* A pixel for each of the VAE's positions. */
static void test_by_a_linear_guess(void **unused)
{
	static const char *const models[] = { "zimage-a", "klein-a" };

	(void)unused;
	for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
		const struct pipeline_request r = request(96, 64, 3, 1);
		struct seen seen = { 0 };
		struct family_parts *parts;
		struct fixture f;
		struct buf png;
		json_t *file = json_pack("{s[]s[]}", "matrix", "offset");
		uint32_t channels, pack;

		fixture_open(&f, vk, golden_path("models/%s", models[i]));
		parts = &f.pipeline->parts;
		channels = parts->family->vae->latent_channels(parts->vae);
		pack = vae_pack(parts->family->vae);
		for (uint32_t k = 0; k < 3 * pack * pack; k++) {
			json_t *row = json_array();

			for (uint32_t c = 0; c < channels; c++)
				json_array_append_new(row, json_real(0.1));
			json_array_append_new(json_object_get(file, "matrix"), row);
			json_array_append_new(json_object_get(file, "offset"), json_real(0));
		}
		assert_int_equal(latent_rgb_create(file, channels, pack, &parts->latent_rgb, NULL), 0);
		json_decref(file);
		png = draw(&f, &r, &seen);
		assert_int_equal(seen.n, 1);
		assert_int_equal(seen.width, 96 / VAE_EIGHTH);
		assert_int_equal(seen.height, 64 / VAE_EIGHTH);
		buf_finish(&png);
		fixture_close(&f);
	}
}

/* Who takes it can end the drawing; the next one works. */
static void test_refused(void **unused)
{
	const struct pipeline_request r = request(64, 64, 3, 2);
	struct seen seen = { .fails = -ECANCELED };
	const struct pipeline_hooks hooks = { .context = &seen, .partial = note };
	struct buf png = BUF_INIT(1 << 20);
	struct fixture f;
	struct err err;

	(void)unused;
	fixture_open(&f, vk, golden_path("models/zimage-a"));
	assert_int_equal(fixture_png(f.pipeline, &r, &hooks, &png, &err), -ECANCELED);
	assert_int_equal(seen.n, 1);
	buf_finish(&png);
	seen = (struct seen){ 0 };
	png = draw(&f, &r, &seen);
	assert_int_equal(seen.n, 2);
	buf_finish(&png);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_when), cmocka_unit_test(test_by_the_vae),
		cmocka_unit_test(test_by_a_linear_guess), cmocka_unit_test(test_refused),
	};

	vk = device_open();
	return device_close(&vk, cmocka_run_group_tests(tests, NULL, NULL));
}
