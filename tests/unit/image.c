/*
 * image.c: rounding and clamping of pixels; a PNG that decodes to the same pixels.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <png.h>

#include "runner/image/image.h"

static void test_pixels(void **unused)
{
	/* Halves go to the even side: 127.5 to 128, 178.5 to 178, 76.5 to 76. */
	const float x[9] = { -1.0f, 1.0f, 0.0f, 0.4f, -0.4f, -3.0f, 7.0f, NAN, INFINITY };
	const uint8_t want[9] = { 0, 255, 128, 178, 76, 0, 255, 0, 255 };
	uint8_t rgb[9];

	(void)unused;
	image_from_float(x, 3, 1, rgb);
	assert_memory_equal(rgb, want, sizeof want);
}

static int write_png(uint8_t *rgb, uint32_t width, uint32_t height, const struct image_watch *watch,
		     struct buf *out, struct err *err)
{
	const struct image im = { width, height, 3, rgb };

	return image_write(&im, &(struct image_output){ 0 }, watch, out, err);
}

static void test_png_round_trip(void **unused)
{
	enum { WIDTH = 37, HEIGHT = 5 };
	uint8_t rgb[WIDTH * HEIGHT * 3], back[WIDTH * HEIGHT * 3];
	struct buf out = BUF_INIT(1 << 20);
	png_image image = { .version = PNG_IMAGE_VERSION };
	struct err err;
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof rgb; i++)
		rgb[i] = (uint8_t)(i * 31 ^ i >> 3);
	assert_int_equal(write_png(rgb, WIDTH, HEIGHT, NULL, &out, &err), 0);
	assert_true(png_image_begin_read_from_memory(&image, out.data, out.len));
	assert_int_equal(image.width, WIDTH);
	assert_int_equal(image.height, HEIGHT);
	assert_int_equal(image.format, PNG_FORMAT_RGB);
	assert_true(png_image_finish_read(&image, NULL, back, 0, NULL));
	assert_memory_equal(rgb, back, sizeof rgb);
	buf_finish(&out);
}

static void test_png_that_does_not_fit(void **unused)
{
	uint8_t rgb[64 * 64 * 3];
	struct buf out = BUF_INIT(100);
	struct err err = { 0 };
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof rgb; i++)
		rgb[i] = (uint8_t)(i * i >> 4);
	assert_true(write_png(rgb, 64, 64, NULL, &out, &err) < 0);
	assert_non_null(strstr(err.text, "does not fit"));
	buf_finish(&out);
}

static bool countdown(void *context)
{
	int *left = context;

	return (*left)-- == 0;
}

/* Asked before every row. */
static void test_png_cancelled(void **unused)
{
	enum { SIDE = 64 };
	uint8_t rgb[SIDE * SIDE * 3] = { 0 };
	int k;

	(void)unused;
	for (k = 0; k <= SIDE; k++) {
		int left = k;
		const struct image_watch watch = { .cancelled = countdown, .context = &left };
		struct buf out = BUF_INIT(1 << 20);
		struct err err = { 0 };
		int r = write_png(rgb, SIDE, SIDE, &watch, &out, &err);

		assert_int_equal(r, k < SIDE ? -ECANCELED : 0);
		assert_int_equal(left, k < SIDE ? -1 : 0);
		assert_string_equal(err.text, k < SIDE ? "cancelled" : "");
		assert_int_equal(out.len != 0, k == SIDE);
		buf_finish(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pixels),
		cmocka_unit_test(test_png_round_trip),
		cmocka_unit_test(test_png_that_does_not_fit),
		cmocka_unit_test(test_png_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
