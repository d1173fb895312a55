/*
 * Sizes and masks: resizing to Pillow's bytes, covering and references to those of
 * diffusers, output sizes, what a mask marks, floats there and back.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/digest.h"
#include "common/limits.h"
#include "runner/image/image_private.h"
#include "tests/golden.h"

/* As scripts/make_test_images.py has it. */
static struct image formula(uint32_t width, uint32_t height, uint32_t channels)
{
	struct image im;

	assert_int_equal(image_new(width, height, channels, &im, NULL), 0);
	for (uint32_t y = 0; y < height; y++)
		for (uint32_t x = 0; x < width; x++)
			for (uint32_t c = 0; c < channels; c++)
				im.pixels[((size_t)y * width + x) * channels + c] =
					(uint8_t)((x * 7 + y * 13 + c * 50) ^ (x * y >> 4));
	return im;
}

static uint32_t side(const json_t *row, const char *member, size_t i)
{
	return (uint32_t)json_integer_value(json_array_get(json_object_get(row, member), i));
}

static void check_digest(const struct image *im, const json_t *row, const char *member)
{
	char digest[DIGEST_SIZE], *text;

	digest_bytes(im->pixels, image_row_bytes(im) * im->height, digest);
	if (!strcmp(digest + strlen("sha256:"), json_string_value(json_object_get(row, member))))
		return;
	text = json_dumps(row, JSON_COMPACT);
	fail_msg("other pixels than Pillow's: %.200s", text);
}

static void check_rows(const char *what, void (*check)(const json_t *row))
{
	json_t *root = golden_json(golden_path("../images/expected.json"));
	json_t *rows = json_object_get(root, what), *row;
	size_t i;

	assert_true(json_array_size(rows) > 0);
	json_array_foreach(rows, i, row)
		check(row);
	json_decref(root);
}

static enum image_filter filter_of(const json_t *row)
{
	static const char *const names[] = {
		[IMAGE_NEAREST] = "nearest",
		[IMAGE_BICUBIC] = "bicubic",
		[IMAGE_LANCZOS] = "lanczos",
	};
	const char *name = json_string_value(json_object_get(row, "filter"));
	unsigned f = 0;

	while (strcmp(names[f], name) != 0)
		f++;
	return f;
}

static void check_resize(const json_t *row)
{
	uint32_t channels = (uint32_t)json_integer_value(json_object_get(row, "channels"));
	struct image im = formula(side(row, "from", 0), side(row, "from", 1), channels), resized;

	assert_int_equal(image_resize(&im, side(row, "to", 0), side(row, "to", 1), filter_of(row),
				      NULL, &resized, NULL), 0);
	assert_int_equal(resized.channels, channels);
	check_digest(&resized, row, "sha256");
	image_finish(&im);
	image_finish(&resized);
}

static void resized(void **state)
{
	(void)state;
	check_rows("resize", check_resize);
}

static void check_cover(const json_t *row)
{
	struct image im = formula(side(row, "from", 0), side(row, "from", 1), 3), covering;

	assert_int_equal(image_cover(&im, side(row, "to", 0), side(row, "to", 1), IMAGE_LANCZOS,
				     NULL, &covering, NULL), 0);
	assert_int_equal(covering.width, side(row, "to", 0));
	assert_int_equal(covering.height, side(row, "to", 1));
	check_digest(&covering, row, "sha256");
	image_finish(&im);
	image_finish(&covering);
}

static void covered(void **state)
{
	struct image im = formula(1, 3000, 1), covering;
	struct err err;

	(void)state;
	check_rows("cover", check_cover);
	assert_int_equal(image_cover(&im, 4096, 4096, IMAGE_NEAREST, NULL, &covering, &err),
			 -EINVAL);
	assert_non_null(strstr(err.text, "1x3000: too narrow"));
	image_finish(&im);
}

static void references(void **state)
{
	json_t *rows = golden_json(golden_path("preprocess/preprocess.json")), *row;
	size_t i, len;

	(void)state;
	json_array_foreach(rows, i, row) {
		char *file = golden_text(golden_path("preprocess/%s", json_string_value(
						     json_object_get(row, "input"))), &len);
		struct image im, ready;

		assert_int_equal(image_read(file, len, LIMIT_INPUT_PIXELS, NULL, &im, NULL), 0);
		assert_int_equal(image_reference(&im, NULL, &ready, NULL), 0);
		assert_int_equal(ready.width, side(row, "result", 0));
		assert_int_equal(ready.height, side(row, "result", 1));
		check_digest(&ready, row, "sha256_rgb8");
		image_finish(&im);
		image_finish(&ready);
		free(file);
	}
	json_decref(rows);
}

static void check_reference(uint32_t width, uint32_t height, const char *want)
{
	struct image im = formula(width, height, 3), ready;
	struct err err;
	int r = image_reference(&im, NULL, &ready, &err);

	if (want) {
		assert_int_equal(r, -EINVAL);
		assert_non_null(strstr(err.text, want));
	} else {
		assert_int_equal(r, 0);
		image_finish(&ready);
	}
	image_finish(&im);
}

static void references_refused(void **state)
{
	(void)state;
	check_reference(63, 200, "63x200: a picture to refer to has sides of at least 64");
	check_reference(200, 63, "200x63: ");
	check_reference(64, 513, "64x513: a picture to refer to is at most 8 times");
	check_reference(513, 64, "513x64: ");
	check_reference(64, 512, NULL);
}

static bool countdown(void *context)
{
	int *left = context;

	return (*left)-- == 0;
}

/* From 40x30. */
static int resize_watched(uint32_t width, uint32_t height, enum image_filter filter, int *left)
{
	const struct image_watch watch = { .cancelled = countdown, .context = left };
	struct image im = formula(40, 30, 3), ret;
	struct err err;
	int r = image_resize(&im, width, height, filter, &watch, &ret, &err);

	if (r < 0) {
		assert_string_equal(err.text, "cancelled");
		assert_null(ret.pixels);
	}
	image_finish(&ret);
	image_finish(&im);
	return r;
}

/* Every row of each pass, and at once when the answer is yes. */
static void resize_cancelled(void **state)
{
	static const struct { uint32_t to[2]; enum image_filter filter; int least; } rows[] = {
		{ { 20, 60 }, IMAGE_LANCZOS, 60 }, { { 20, 10 }, IMAGE_LANCZOS, 30 },
		{ { 80, 30 }, IMAGE_BICUBIC, 30 }, { { 40, 50 }, IMAGE_BICUBIC, 50 },
		{ { 20, 60 }, IMAGE_NEAREST, 60 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const uint32_t *to = rows[i].to;
		int left = -1, all;

		assert_int_equal(resize_watched(to[0], to[1], rows[i].filter, &left), 0);
		all = -1 - left;
		assert_true(all >= rows[i].least);
		for (int k = 0; k < all; k++) {
			left = k;
			assert_int_equal(resize_watched(to[0], to[1], rows[i].filter, &left),
					 -ECANCELED);
			assert_int_equal(left, -1);
		}
	}
}

/* What prepares pictures hands the question on. */
static void fit_cancelled(void **state)
{
	int left = 3;
	const struct image_watch watch = { .cancelled = countdown, .context = &left };
	struct image im = formula(1100, 1000, 3), ret = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(image_reference(&im, &watch, &ret, &err), -ECANCELED);
	assert_null(ret.pixels);
	left = 3;
	assert_int_equal(image_cover(&im, 64, 128, IMAGE_LANCZOS, &watch, &ret, &err), -ECANCELED);
	assert_null(ret.pixels);
	image_finish(&im);
}

static void output_sizes(void **state)
{
	static const struct { uint32_t image[2], asked[2], want[2]; } rows[] = {
		{ { 100, 70 }, { 512, 256 }, { 512, 256 } },
		/* One side follows the picture's ratio: 102.4, 103.5, 104 and 104.1. */
		{ { 1000, 200 }, { 512, 0 }, { 512, 96 } },
		{ { 512, 103 }, { 512, 0 }, { 512, 96 } },
		{ { 512, 104 }, { 512, 0 }, { 512, 112 } },
		{ { 200, 1000 }, { 0, 512 }, { 96, 512 } },
		{ { 5000, 100 }, { 4096, 0 }, { 4096, 80 } },
		{ { 5000, 10 }, { 4096, 0 }, { 4096, 64 } },
		{ { 10, 5000 }, { 4096, 0 }, { 4096, 4096 } },
		/* The picture's own size, to multiples, at most 1024, at least 64. */
		{ { 640, 480 }, { 0, 0 }, { 640, 480 } },
		{ { 100, 71 }, { 0, 0 }, { 96, 64 } },
		{ { 1024, 1024 }, { 0, 0 }, { 1024, 1024 } },
		{ { 1025, 1024 }, { 0, 0 }, { 1024, 1024 } },
		{ { 4000, 3000 }, { 0, 0 }, { 1024, 768 } },
		{ { 3000, 4000 }, { 0, 0 }, { 768, 1024 } },
		{ { 4032, 3024 }, { 0, 0 }, { 1024, 768 } },
		{ { 1920, 1080 }, { 0, 0 }, { 1024, 576 } },
		{ { 65536, 1 }, { 0, 0 }, { 1024, 64 } },
		{ { 1, 1 }, { 0, 0 }, { 64, 64 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const struct image im = { .width = rows[i].image[0], .height = rows[i].image[1] };
		uint32_t width = rows[i].asked[0], height = rows[i].asked[1];

		image_output_size(&im, &width, &height);
		if (width != rows[i].want[0] || height != rows[i].want[1])
			fail_msg("row %zu: %ux%u", i, width, height);
	}
}

static void check_mask(uint32_t channels, const char *pixels, size_t n, bool by_alpha,
		       const char *want)
{
	struct image im, mask;

	assert_int_equal(image_new((uint32_t)n, 1, channels, &im, NULL), 0);
	memcpy(im.pixels, pixels, n * channels);
	assert_int_equal(image_to_mask(&im, by_alpha, &mask, NULL), 0);
	assert_int_equal(mask.channels, 1);
	assert_int_equal(mask.width, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(mask.pixels[i], want[i] == 'x' ? 255 : 0);
	image_finish(&im);
	image_finish(&mask);
}

static void masks(void **state)
{
	/* Transparent black, opaque white, just below and at half. */
	static const char rgba[] = "\0\0\0\0" "\xff\xff\xff\xff" "\x80\x80\x80\x7f"
				   "\x80\x80\x80\x80" "\xff\xff\xff\x01" "\x80\x80\x80\xff" "\x7f\x7f\x7f\xff";
	/* White, black, grey on both sides of half, green, red, blue. */
	static const char rgb[] = "\xff\xff\xff" "\0\0\0" "\x80\x80\x80" "\x7f\x7f\x7f" "\0\xff\0"
				  "\xff\0\0" "\0\0\xff";

	(void)state;
	check_mask(4, rgba, 7, true, "x.x.x..");
	check_mask(4, rgba, 7, false, ".x...x.");
	check_mask(3, rgb, 7, true, "x.x.x..");
	check_mask(3, rgb, 7, false, "x.x.x..");
	check_mask(1, "\x7f\x80", 2, true, ".x");
}

static void cropped(void **state)
{
	struct image im = formula(7, 5, 3), middle;

	(void)state;
	assert_int_equal(image_crop_middle(&im, 4, 2, &middle, NULL), 0);
	for (uint32_t y = 0; y < 2; y++)
		assert_memory_equal(image_row(&middle, y), image_row(&im, y + 1) + 3, 12);
	image_finish(&middle);
	image_finish(&im);
}

/* Every value there and back; the ends exact. */
static void floats(void **state)
{
	struct image im;
	float x[256 * 3];
	uint8_t back[256 * 3];

	(void)state;
	assert_int_equal(image_new(256, 1, 3, &im, NULL), 0);
	for (size_t i = 0; i < sizeof back; i++)
		im.pixels[i] = (uint8_t)i;
	image_to_float(&im, x);
	assert_true(x[0] == -1.0f && x[255] == 1.0f && x[51] == 51 / 255.0f * 2 - 1);
	image_from_float(x, 256, 1, back);
	assert_memory_equal(back, im.pixels, sizeof back);
	image_finish(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resized),
		cmocka_unit_test(covered),
		cmocka_unit_test(references),
		cmocka_unit_test(references_refused),
		cmocka_unit_test(resize_cancelled),
		cmocka_unit_test(fit_cancelled),
		cmocka_unit_test(output_sizes),
		cmocka_unit_test(masks),
		cmocka_unit_test(cropped),
		cmocka_unit_test(floats),
	};

	return cmocka_run_group_tests_name("image_size", tests, NULL, NULL);
}
