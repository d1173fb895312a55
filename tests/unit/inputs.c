/*
 * inputs.c on its own: that it asks whether to stop, what it holds afterwards, and its
 * bounds. The socket's side of it is in tests/runner/link.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/inputs.h"
#include "tests/golden.h"

static void add(struct inputs *in, const char *name)
{
	size_t len;
	char *data = golden_text(golden_path("../images/%s", name), &len);

	assert_int_equal(inputs_add(in, data, len, NULL), 0);
	free(data);
}

/* context: questions left until it says yes; below 0: never. */
static bool countdown(void *context)
{
	int *left = context;

	return (*left)-- == 0;
}

/* Two pictures and a mask of another size. */
static int read_watched(struct inputs *in, int *left, struct err *err)
{
	const struct image_watch watch = { .cancelled = countdown, .context = left };
	struct msg_generate g = { .images = 2, .mask = (char[]){ "alpha" } };

	*in = (struct inputs){ 0 };
	assert_int_equal(inputs_announced(&g), 3);
	add(in, "png-rgba.png");
	add(in, "png-rgba.png");
	add(in, "png-interlaced-tiny.png");
	return inputs_read(in, &g, &watch, err);
}

/* Whenever it is: no picture's fault, and nothing half done. */
static void cancelled(void **state)
{
	struct inputs in;
	struct err err;
	int left = -1, all;

	(void)state;
	assert_int_equal(read_watched(&in, &left, &err), 0);
	assert_int_equal(in.n_images, 2);
	assert_non_null(in.mask.pixels);
	inputs_finish(&in);
	all = -1 - left;
	/* Before each file, and every row: of the pictures, of the mask made larger. */
	assert_true(all >= 3 + 3 * 29);
	for (int k = 0; k < all; k++) {
		left = k;
		assert_int_equal(read_watched(&in, &left, &err), -ECANCELED);
		assert_int_equal(left, -1);
		assert_string_equal(err.text, "cancelled");
		assert_true(in.n_images <= 2 && !in.mask.pixels);
		inputs_finish(&in);
		assert_int_equal(in.n_files, 0);
	}
}

static void sizes(void **state)
{
	static const struct { uint32_t asked[2], want[2]; } rows[] = {
		{ { 0, 0 }, { 64, 64 } },
		{ { 512, 0 }, { 512, 400 } },
		{ { 0, 512 }, { 656, 512 } },
		{ { 128, 128 }, { 128, 128 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct msg_generate g = {
			.images = 1, .width = rows[i].asked[0], .height = rows[i].asked[1],
		};
		struct inputs in = { 0 };

		add(&in, "png-rgb.png");        /* 37x29 */
		assert_int_equal(inputs_read(&in, &g, NULL, NULL), 0);
		assert_int_equal(g.width, rows[i].want[0]);
		assert_int_equal(g.height, rows[i].want[1]);
		inputs_finish(&in);
	}
}

static void too_many_bytes(void **state)
{
	/* As if the first file were as large as all may be. */
	struct inputs in = { .files[0] = { malloc(1), LIMIT_INPUT_BYTES }, .n_files = 1 };
	struct err err;

	(void)state;
	assert_int_equal(inputs_add(&in, "", 0, &err), 0);
	assert_int_equal(inputs_add(&in, "x", 1, &err), -EMSGSIZE);
	assert_non_null(strstr(err.text, "268435456 bytes"));
	inputs_finish(&in);
}

/* As if others came before a picture and its mask: refused before they are unpacked. */
static void too_many_pixels(void **state)
{
	enum { PIXELS = 37 * 29 };
	static const struct { uint32_t left; const char *says; } rows[] = {
		{ 2 * PIXELS, NULL },
		{ 2 * PIXELS - 1, "invalid mask: PNG: 37x29: above the 1072 pixels that the other" },
		{ PIXELS - 1, "invalid image 0: PNG: 37x29: above the 1072 pixels that the other" },
		{ 0, "invalid image 0: PNG: 37x29: above the 0 pixels that the other" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct msg_generate g = { .images = 1, .mask = (char[]){ "alpha" } };
		struct inputs in = { .pixels = LIMIT_INPUT_PIXELS_ALL - rows[i].left };
		struct err err = { 0 };

		add(&in, "png-rgba.png");
		add(&in, "png-rgba.png");
		assert_int_equal(inputs_read(&in, &g, NULL, &err), rows[i].says ? -EINVAL : 0);
		if (rows[i].says)
			assert_non_null(strstr(err.text, rows[i].says));
		inputs_finish(&in);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cancelled),
		cmocka_unit_test(sizes),
		cmocka_unit_test(too_many_bytes),
		cmocka_unit_test(too_many_pixels),
	};

	return cmocka_run_group_tests_name("inputs", tests, NULL, NULL);
}
