/*
 * What editing does to a picture that a person would see, with the trained demo model:
 * a low strength keeps the picture, a high one follows the prompt, a mask confines it.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/limits.h"
#include "tests/golden.h"
#include "tests/ops/vk/device.h"
#include "tests/parts/fixture.h"

enum { SIDE = 128, EDGE = 12 };                 /* a picture; a strip of background along it */

static struct vk *vk;
static struct fixture fixture;

/* What a run gave: the PNG's pixels, and the decoder's own before the mask was applied. */
struct result {
	struct image picture, decoded;
	struct image start, mask;               /* what it is made from, until that is done with */
};

static void on_tap(void *context, const char *name, const float *data, size_t n)
{
	struct result *r = context;

	if (strcmp(name, "vae_out"))
		return;
	r->decoded = (struct image){ SIDE, SIDE, 3, malloc(n) };
	assert_non_null(r->decoded.pixels);
	image_from_float(data, SIDE, SIDE, r->decoded.pixels);
}

/* Whoever looks at them later finds nothing. */
static void on_inputs_done(void *context)
{
	struct result *r = context;

	image_finish(&r->start);
	image_finish(&r->mask);
}

static struct image copy(const struct image *im)
{
	struct image ret;

	if (!im)
		return (struct image){ 0 };
	assert_int_equal(image_crop_middle(im, im->width, im->height, &ret, NULL), 0);
	return ret;
}

static void draw(const char *prompt, const struct image *start, double strength,
		 const struct image *mask, struct result *ret)
{
	const struct pipeline_request request = {
		.prompt = prompt, .width = SIDE, .height = SIDE, .steps = 12, .seed = 5,
		.guidance = 1.5, .cfg_truncation = 1, .images = &ret->start, .n_images = start ? 1 : 0,
		.strength = strength, .mask = mask ? &ret->mask : NULL,
	};
	const struct pipeline_hooks hooks = {
		.context = ret, .tap = on_tap, .inputs_done = on_inputs_done,
	};
	struct buf png = BUF_INIT(LIMIT_IMAGE);
	struct err err = { 0 };

	*ret = (struct result){ .start = copy(start), .mask = copy(mask) };
	if (fixture_png(fixture.pipeline, &request, &hooks, &png, &err) < 0 ||
	    image_read(png.data, png.len, LIMIT_INPUT_PIXELS, NULL, &ret->picture, &err) < 0)
		fail_msg("%s: %s", prompt, err.text);
	assert_null(ret->start.pixels);
	assert_null(ret->mask.pixels);
	buf_finish(&png);
}

static void result_finish(struct result *r)
{
	image_finish(&r->picture);
	image_finish(&r->decoded);
}

struct box {
	uint32_t x, y, width, height;
};

/* Over the pixels outside the box; an empty box is the whole. */
static double psnr_outside(const struct image *a, const struct image *b, struct box box)
{
	double sum = 0;
	size_t n = 0;
	uint32_t x, y, c;

	for (y = 0; y < SIDE; y++)
		for (x = 0; x < SIDE; x++) {
			if (x - box.x < box.width && y - box.y < box.height)
				continue;
			for (c = 0; c < 3; c++, n++) {
				size_t at = ((size_t)y * SIDE + x) * 3 + c;

				sum += pow(a->pixels[at] - b->pixels[at], 2);
			}
		}
	return sum > 0 ? 10 * log10(255.0 * 255.0 * (double)n / sum) : INFINITY;
}

static void mean_colour(const struct image *im, struct box box, double ret[3])
{
	uint32_t x, y, c;

	memset(ret, 0, 3 * sizeof *ret);
	for (y = box.y; y < box.y + box.height; y++)
		for (x = box.x; x < box.x + box.width; x++)
			for (c = 0; c < 3; c++)
				ret[c] += im->pixels[((size_t)y * SIDE + x) * 3 + c];
	for (c = 0; c < 3; c++)
		ret[c] /= (double)box.width * box.height;
}

static const struct box nowhere, top = { 0, 0, SIDE, EDGE };
static const struct box right_half = { SIDE / 2, 0, SIDE / 2, SIDE };
static const struct box right_edge = { SIDE - EDGE, 0, EDGE, SIDE };
static const char base_prompt[] = "a red circle on a blue background";

/* At least this much more of one channel than of another. */
static void assert_more(const double colour[3], unsigned channel, unsigned than, const char *what)
{
	if (colour[channel] < colour[than] + 40)
		fail_msg("%s: colour %.0f %.0f %.0f", what, colour[0], colour[1], colour[2]);
}

enum { RED, GREEN, BLUE };

static void test_strength(void **unused)
{
	struct result base, kept, changed, same;
	double colour[3], whole, low, high;

	(void)unused;
	draw(base_prompt, NULL, -1, NULL, &base);
	mean_colour(&base.picture, top, colour);
	assert_more(colour, BLUE, RED, "base");

	draw("a white circle on a red background", &base.picture, 0, NULL, &same);
	draw("a white circle on a red background", &base.picture, 0.1, NULL, &kept);
	draw("a white circle on a red background", &base.picture, 0.95, NULL, &changed);
	whole = psnr_outside(&base.picture, &same.picture, nowhere);
	low = psnr_outside(&base.picture, &kept.picture, nowhere);
	high = psnr_outside(&base.picture, &changed.picture, nowhere);
	printf("# kept at strength 0: %.1f dB, 0.1: %.1f dB, 0.95: %.1f dB\n", whole, low, high);
	assert_true(whole > 25 && low > 18 && low > high + 6);
	mean_colour(&kept.picture, top, colour);
	assert_more(colour, BLUE, RED, "strength 0.1");
	mean_colour(&changed.picture, top, colour);
	assert_more(colour, RED, BLUE, "strength 0.95");
	result_finish(&base);
	result_finish(&same);
	result_finish(&kept);
	result_finish(&changed);
}

static struct image make_mask(struct box box)
{
	struct image mask = { SIDE, SIDE, 1, calloc(SIDE, SIDE) };
	uint32_t y;

	assert_non_null(mask.pixels);
	for (y = box.y; y < box.y + box.height; y++)
		memset(mask.pixels + (size_t)y * SIDE + box.x, 255, box.width);
	return mask;
}

static void test_mask(void **unused)
{
	struct image mask = make_mask(right_half);
	struct result base, edited;
	double colour[3], before;

	(void)unused;
	draw(base_prompt, NULL, -1, NULL, &base);
	draw("a red circle on a yellow background", &base.picture, -1, &mask, &edited);
	before = psnr_outside(&base.picture, &edited.decoded, right_half);
	printf("# outside the mask, before pasting back: %.1f dB\n", before);
	assert_true(before >= 25);
	assert_true(isinf(psnr_outside(&base.picture, &edited.picture, right_half)));
	mean_colour(&edited.picture, right_edge, colour);
	assert_more(colour, GREEN, BLUE, "inside the mask");
	result_finish(&base);
	result_finish(&edited);
	image_finish(&mask);
}

static void test_refused(void **unused)
{
	struct image pictures[2] = { { SIDE, SIDE, 3, calloc(SIDE * SIDE, 3) } };
	struct image mask = make_mask(nowhere), narrow = { 1, 5000, 1, calloc(5000, 1) };
	struct pipeline_request request = {
		.prompt = "a tree", .width = SIDE, .height = SIDE, .steps = 2, .seed = 1,
		.cfg_truncation = 1, .images = pictures, .n_images = 2, .strength = -1,
	};
	struct buf png = BUF_INIT(LIMIT_IMAGE);
	struct err err = { 0 };

	(void)unused;
	pictures[1] = pictures[0];
	assert_int_equal(fixture_png(fixture.pipeline, &request, NULL, &png, &err), -EINVAL);
	assert_non_null(strstr(err.text, "maximum is 1"));
	request.n_images = 1;
	request.mask = &mask;
	assert_int_equal(fixture_png(fixture.pipeline, &request, NULL, &png, &err), -EINVAL);
	assert_non_null(strstr(err.text, "marks nothing"));
	request.mask = &narrow;
	assert_int_equal(fixture_png(fixture.pipeline, &request, NULL, &png, &err), -EINVAL);
	assert_non_null(strstr(err.text, "invalid mask: 1x5000: too narrow"));
	request.images = &narrow;
	assert_int_equal(fixture_png(fixture.pipeline, &request, NULL, &png, &err), -EINVAL);
	assert_non_null(strstr(err.text, "invalid image 0: 1x5000: too narrow"));
	image_finish(&narrow);
	image_finish(&pictures[0]);
	image_finish(&mask);
	buf_finish(&png);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strength),
		cmocka_unit_test(test_mask),
		cmocka_unit_test(test_refused),
	};
	int result;

	vk = device_open();
	fixture_open(&fixture, vk, DEMO_MODEL);
	result = cmocka_run_group_tests(tests, NULL, NULL);
	fixture_close(&fixture);
	return device_close(&vk, result);
}
