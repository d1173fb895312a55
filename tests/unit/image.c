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

/* Slow ramps: what lossy formats are good at. */
static void fill_ramps(struct image *im)
{
	for (uint32_t i = 0; i < im->width * im->height; i++) {
		im->pixels[3 * i] = (uint8_t)(i % im->width * 4);
		im->pixels[3 * i + 1] = (uint8_t)(i / im->width * 3);
		im->pixels[3 * i + 2] = 90;
	}
}

static double mean_error(const struct image *a, const struct image *b)
{
	const size_t n = (size_t)a->width * a->height * 3;
	double sum = 0;

	assert_int_equal(a->width, b->width);
	assert_int_equal(a->height, b->height);
	for (size_t i = 0; i < n; i++)
		sum += abs(a->pixels[i] - b->pixels[i]);
	return sum / (double)n;
}

static void test_lossy_formats(void **unused)
{
	static const struct {
		enum output_format format;
		const char *begin;
		size_t begin_len;
	} rows[] = {
		{ OUTPUT_JPEG, "\xff\xd8\xff", 3 }, { OUTPUT_WEBP, "RIFF", 4 },
	};
	uint8_t pixels[64 * 48 * 3];
	const struct image im = { 64, 48, 3, pixels };
	struct image_notes notes = { .xmp = (char *)"<x/>" };
	struct err err;

	(void)unused;
	fill_ramps(&(struct image){ 64, 48, 3, pixels });
	for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
		struct image_output how = { .format = rows[i / 2].format, .notes = i % 2 ? &notes : NULL };
		struct buf fine = BUF_INIT(1 << 20), coarse = BUF_INIT(1 << 20);
		struct image back;

		how.quality = 100;
		assert_int_equal(image_write(&im, &how, NULL, &fine, &err), 0);
		how.quality = 0;
		assert_int_equal(image_write(&im, &how, NULL, &coarse, &err), 0);
		assert_memory_equal(fine.data, rows[i / 2].begin, rows[i / 2].begin_len);
		assert_true(coarse.len < fine.len);
		assert_int_equal(memmem(fine.data, fine.len, "<x/>", 4) != NULL, i % 2);
		assert_int_equal(image_read(fine.data, fine.len, 1 << 20, NULL, &back, &err), 0);
		assert_true(mean_error(&im, &back) < 2);
		image_finish(&back);
		buf_finish(&fine);
		buf_finish(&coarse);
	}
}

/* Whatever is tried, what was in the buffer before stays and nothing else. */
static void test_formats_that_fail(void **unused)
{
	uint8_t pixels[64 * 64 * 3] = { 0 };
	const struct image im = { 64, 64, 3, pixels };

	(void)unused;
	for (unsigned format = 0; format < OUTPUT_FORMATS; format++) {
		const struct image_output how = { .format = (enum output_format)format, .quality = 50 };
		int now = 0;
		const struct image_watch watch = { .cancelled = countdown, .context = &now };
		struct buf out = BUF_INIT(1 << 20), small = BUF_INIT(20);
		struct err err;

		buf_puts(&out, "before");
		assert_int_equal(image_write(&im, &how, &watch, &out, &err), -ECANCELED);
		assert_string_equal(out.data, "before");
		assert_true(image_write(&im, &how, NULL, &small, &err) < 0);
		assert_non_null(strstr(err.text, "does not fit"));
		buf_finish(&out);
		buf_finish(&small);
	}
}

/* Texts that are longer than a library's first buffer, and then no picture. */
static void test_cancelled_behind_long_texts(void **unused)
{
	enum { LONG = 60000 };
	uint8_t pixels[64 * 64 * 3] = { 0 };
	const struct image im = { 64, 64, 3, pixels };
	char text[LONG + 1];
	struct image_notes notes = { .parameters = text, .own = text, .xmp = text };

	(void)unused;
	memset(text, 'x', LONG);
	text[LONG] = '\0';
	for (unsigned format = 0; format < OUTPUT_FORMATS; format++) {
		const struct image_output how = {
			.format = (enum output_format)format, .quality = 50, .notes = &notes,
		};
		int left = 1;
		const struct image_watch watch = { .cancelled = countdown, .context = &left };
		struct buf out = BUF_INIT(1 << 20);
		struct err err;

		assert_int_equal(image_write(&im, &how, &watch, &out, &err), -ECANCELED);
		assert_int_equal(out.len, 0);
		assert_int_equal(image_write(&im, &how, NULL, &out, &err), 0);
		assert_true(out.len > LONG);
		buf_finish(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cancelled_behind_long_texts),
		cmocka_unit_test(test_lossy_formats), cmocka_unit_test(test_formats_that_fail),
		cmocka_unit_test(test_pixels),
		cmocka_unit_test(test_png_round_trip),
		cmocka_unit_test(test_png_that_does_not_fit),
		cmocka_unit_test(test_png_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
