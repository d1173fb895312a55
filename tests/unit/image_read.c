/*
 * image_read(): every kind of file to the pixels that Pillow gives for it (expected.json of
 * tests/data/images says how they were made), and everything else refused with a reason.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "common/digest.h"
#include "common/limits.h"
#include "runner/image/image_private.h"
#include "tests/golden.h"

/* Lossy formats leave rounding to the library: of 255. */
#define TOLERANCE 2

struct bytes {
	uint8_t *data;                  /* not a byte more than len, so that overruns are seen */
	size_t len;
};

static struct bytes exact(const void *data, size_t len)
{
	struct bytes b = { malloc(len ? len : 1), len };

	assert_non_null(b.data);
	memcpy(b.data, data, len);
	return b;
}

static struct bytes load(const char *name)
{
	struct bytes b;
	size_t len;
	char *text = golden_text(golden_path("../images/%s", name), &len);

	b = exact(text, len);
	free(text);
	return b;
}

static struct image read_file(const char *name)
{
	struct bytes b = load(name);
	struct image im;
	struct err err;

	if (image_read(b.data, b.len, LIMIT_INPUT_PIXELS, NULL, &im, &err) < 0)
		fail_msg("%s: %s", name, err.text);
	free(b.data);
	return im;
}

static const char *text_of(const json_t *row, const char *member)
{
	return json_string_value(json_object_get(row, member));
}

static void check_digest(const char *name, const struct image *im, const char *want)
{
	char digest[DIGEST_SIZE];

	digest_bytes(im->pixels, image_row_bytes(im) * im->height, digest);
	if (strcmp(digest + strlen("sha256:"), want) != 0)
		fail_msg("%s: other pixels than Pillow's", name);
}

static void check_like(const char *name, const struct image *im, const char *like_name)
{
	struct image like = read_file(like_name);
	size_t n = image_row_bytes(im) * im->height;

	assert_int_equal(like.width, im->width);
	assert_int_equal(like.height, im->height);
	assert_int_equal(like.channels, im->channels);
	for (size_t i = 0; i < n; i++)
		if (abs(im->pixels[i] - like.pixels[i]) > TOLERANCE)
			fail_msg("%s: byte %zu is %u, Pillow's %u", name, i, im->pixels[i],
				 like.pixels[i]);
	image_finish(&like);
}

static void check_picture(const json_t *row)
{
	const char *name = text_of(row, "file"), *like = text_of(row, "like");
	const char *on_white = text_of(row, "on_white");
	struct image im = read_file(name);

	if (im.width != json_integer_value(json_object_get(row, "width")) ||
	    im.height != json_integer_value(json_object_get(row, "height")) ||
	    im.channels != json_integer_value(json_object_get(row, "channels")))
		fail_msg("%s: %ux%u with %u channels", name, im.width, im.height, im.channels);
	if (like)
		check_like(name, &im, like);
	else
		check_digest(name, &im, text_of(row, "sha256"));
	image_flatten(&im);
	assert_int_equal(im.channels, 3);
	if (on_white)
		check_digest(name, &im, on_white);
	image_finish(&im);
}

static json_t *expected(const char *what)
{
	json_t *root = golden_json(golden_path("../images/expected.json"));
	json_t *rows = json_incref(json_object_get(root, what));

	assert_true(json_array_size(rows) > 0);
	json_decref(root);
	return rows;
}

static void pictures(void **state)
{
	json_t *rows = expected("pictures"), *row;
	size_t i;

	(void)state;
	json_array_foreach(rows, i, row)
		check_picture(row);
	json_decref(rows);
}

static void check_refused(const char *name, const uint8_t *data, size_t len, const char *want)
{
	struct image im = { .width = 1 };
	struct err err = { 0 };
	int r = image_read(data, len, LIMIT_INPUT_PIXELS, NULL, &im, &err);

	if (r != -EINVAL || !strstr(err.text, want))
		fail_msg("%s (%zu bytes): %d '%s', want '%s'", name, len, r, err.text, want);
	assert_null(im.pixels);
	assert_int_equal(im.width, 0);
}

static void refused(void **state)
{
	json_t *rows = expected("refused"), *row;
	size_t i;

	(void)state;
	json_array_foreach(rows, i, row) {
		const char *name = text_of(row, "file");
		struct bytes b = load(name);

		check_refused(name, b.data, b.len, text_of(row, "error"));
		free(b.data);
	}
	json_decref(rows);
}

/* A file without its end is no picture, wherever it was cut. */
static void check_cut(const char *name)
{
	struct bytes whole = load(name);

	for (size_t len = 0; len < whole.len; len++) {
		struct bytes b = exact(whole.data, len);

		check_refused(name, b.data, b.len, "");
		free(b.data);
	}
	free(whole.data);
}

static void cut_off(void **state)
{
	static const char *const names[] = {
		"png-rgb.png", "png-palette-alpha.png", "png-interlaced.png", "png-exif-behind.png",
		"jpeg-420.jpg", "jpeg-progressive.jpg", "jpeg-cmyk.jpg", "jpeg-restarts.jpg",
		"jpeg-exif-6.jpg", "webp-lossy.webp", "webp-lossy-alpha.webp", "webp-lossless.webp",
		"webp-exif-5.webp", "webp-animated.webp", "webp-animated-part.webp",
	};

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		check_cut(names[i]);
}

static long peak_kib(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	return usage.ru_maxrss;
}

/* Of what a file claims or would inflate to nothing is allocated. */
static void bombs(void **state)
{
	static const char *const names[] = {
		"bomb-60000.png", "bomb-side.png", "chunk.png", "png-bomb-text.png",
		"png-bomb-profile.png", "png-bomb-data.png", "bomb-65500.jpg", "bomb-scans.jpg",
		"bomb-16383.webp", "bomb-canvas.webp",
	};
	struct image warm = read_file("png-rgb.png");
	long before = peak_kib();

	(void)state;
	image_finish(&warm);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct bytes b = load(names[i]);
		struct image im;

		if (image_read(b.data, b.len, LIMIT_INPUT_PIXELS, NULL, &im, NULL) == 0)
			image_finish(&im);
		free(b.data);
	}
	assert_true(peak_kib() - before < 8 << 10);
}

/* The larger a picture, the fewer passes over it: as if this one were the largest. */
static void scans_of_large_pictures(void **state)
{
	static const struct { const char *name, *error; } rows[] = {
		{ "jpeg-progressive.jpg", NULL }, { "bomb-scans.jpg", "more than 16 scans" },
	};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct bytes b = load(rows[i].name);
		struct image_file file = { .data = b.data, .len = b.len, .max_pixels = 37 * 29 };
		struct image im;
		struct err err;
		int r = image_decode(image_read_jpeg, &file, &im, &err);

		assert_int_equal(r, rows[i].error ? -EINVAL : 0);
		if (r < 0)
			assert_non_null(strstr(err.text, rows[i].error));
		else
			image_finish(&im);
		free(b.data);
	}
}

struct countdown {
	int left, asked;                /* says yes once left is 0 */
};

static bool countdown(void *context)
{
	struct countdown *c = context;

	c->asked++;
	return c->left-- == 0;
}

static int read_watched(const struct bytes *b, int left, int *ret_asked, struct image *ret,
			struct err *err)
{
	struct countdown c = { .left = left };
	const struct image_watch watch = { .cancelled = countdown, .context = &c };
	int r = image_read(b->data, b->len, LIMIT_INPUT_PIXELS, &watch, ret, err);

	*ret_asked = c.asked;
	return r;
}

/* Often enough, and at once when the answer is yes. */
static void cancelled(void **state)
{
	static const struct { const char *name; int least; } rows[] = {
		{ "png-rgb.png", 29 }, { "png-interlaced.png", 7 * 29 }, { "png-exif-6.png", 29 + 37 },
		{ "jpeg-420.jpg", 29 }, { "jpeg-progressive.jpg", 29 + 2 * 10 },
		{ "jpeg-cmyk.jpg", 29 }, { "jpeg-exif-6.jpg", 16 + 24 }, { "webp-lossy.webp", 4 },
		{ "webp-lossless.webp", 2 }, { "webp-animated.webp", 2 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct bytes b = load(rows[i].name);
		struct image im;
		struct err err;
		int all, asked;

		assert_int_equal(read_watched(&b, -1, &all, &im, &err), 0);
		image_finish(&im);
		if (all < rows[i].least)
			fail_msg("%s: asked %d times", rows[i].name, all);
		for (int left = 0; left < all; left++) {
			assert_int_equal(read_watched(&b, left, &asked, &im, &err), -ECANCELED);
			assert_int_equal(asked, left + 1);
			assert_string_equal(err.text, "cancelled");
			assert_null(im.pixels);
		}
		free(b.data);
	}
}

static void orientations(void **state)
{
#define TIFF(text) text, sizeof(text) - 1
	static const struct { const char *data; size_t len; unsigned want; } rows[] = {
		{ TIFF("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"), 6 },
		{ TIFF("MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0"), 3 },
		{ TIFF("Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0"), 3 },
		/* 32 bits wide; behind another tag; a value too large, none, two of them. */
		{ TIFF("II*\0\x08\0\0\0\x01\0\x12\x01\x04\0\x01\0\0\0\x08\0\0\0"), 8 },
		{ TIFF("II*\0\x08\0\0\0\x02\0\x0f\x01\x03\0\x01\0\0\0\x02\0\0\0"
		       "\x12\x01\x03\0\x01\0\0\0\x05\0\0\0"), 5 },
		{ TIFF("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0"), 1 },
		{ TIFF("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\0\0\0\0"), 1 },
		{ TIFF("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x02\0\0\0\x06\0\0\0"), 1 },
		{ TIFF("II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x01\0\0\0\x06\0\0\0"), 1 },
		/* Blocks that end early, offsets that lead out of them, too many entries. */
		{ TIFF(""), 1 },
		{ TIFF("Exif\0\0"), 1 },
		{ TIFF("II*\0\x08\0\0"), 1 },
		{ TIFF("II*\0\x08\0\0\0"), 1 },
		{ TIFF("II*\0\x07\0\0\0\0"), 1 },
		{ TIFF("II*\0\x08\0\0\0\x01"), 1 },
		{ TIFF("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0"), 1 },
		{ TIFF("II*\0\xff\xff\xff\xff\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"), 1 },
		{ TIFF("II*\0\xfe\xff\xff\xff\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"), 1 },
		{ TIFF("II*\0\x08\0\0\0\xff\xff\x0f\x01\x03\0\x01\0\0\0\x02\0\0\0"), 1 },
		{ TIFF("IM*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"), 1 },
		{ TIFF("II+\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"), 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct bytes b = exact(rows[i].data, rows[i].len);

		if (exif_orientation(b.data, b.len) != rows[i].want)
			fail_msg("row %zu: not %u", i, rows[i].want);
		free(b.data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bombs),
		cmocka_unit_test(pictures),
		cmocka_unit_test(refused),
		cmocka_unit_test(cut_off),
		cmocka_unit_test(scans_of_large_pictures),
		cmocka_unit_test(cancelled),
		cmocka_unit_test(orientations),
	};

	return cmocka_run_group_tests_name("image_read", tests, NULL, NULL);
}
