/*
 * Picture files into requests: types by first bytes, bounds, and words against text.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/attachments.h"
#include "common/limits.h"
#include "tests/temp.h"

static char *folder;
static struct err error;

static int enter_folder(void **state)
{
	(void)state;
	folder = temp_create();
	return chdir(folder);
}

static int leave_folder(void **state)
{
	(void)state;
	temp_remove(folder);
	return 0;
}

static void make(const char *name, const char *text)
{
	temp_write(folder, name, text, strlen(text));
}

#define PNG "\x89PNG\r\n\x1a\n"

static void test_types(void **state)
{
	static const struct { const char *bytes; size_t len; const char *type; } rows[] = {
		{ PNG "x", 9, NULL },
		{ "\xff\xd8\xff\xe0", 4, NULL },
		{ "RIFF\0\0\0\0WEBPVP8L", 16, NULL },
		{ "", 0, "text/plain; charset=utf-8" },
		{ "just text\n", 10, "text/plain; charset=utf-8" },
		{ "caf\xc3\xa9", 5, "text/plain; charset=utf-8" },
		{ "\x89PNG\r\n\x1a", 7, "application/octet-stream" },
		{ "a\0b", 3, "application/octet-stream" },
		{ "GIF89a", 6, "image/gif" },
		{ "BM....", 6, "image/bmp" },
		{ "%PDF-1.7", 8, "application/pdf" },
		{ "RIFF\0\0\0\0WAVEfmt ", 16, "application/octet-stream" },
	};
	char expected[128];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct attachments a = { 0 };
		int r;

		temp_write(folder, "file.png", rows[i].bytes, rows[i].len);
		r = attachments_add(&a, "file.png", &error);
		assert_int_equal(r, rows[i].type ? -EINVAL : 0);
		assert_int_equal(json_array_size(a.images), rows[i].type ? 0 : 1);
		if (rows[i].type) {
			snprintf(expected, sizeof expected, "file.png: invalid image type: %s", rows[i].type);
			assert_string_equal(error.text, expected);
		}
		attachments_finish(&a);
	}
}

static void test_base64(void **state)
{
	struct attachments a = { 0 }, b;

	(void)state;
	make("a.png", PNG "1");
	make("m.png", PNG "22");
	assert_int_equal(attachments_add(&a, "a.png", &error), 0);
	assert_int_equal(attachments_set_mask(&a, "m.png", &error), 0);
	assert_int_equal(attachments_copy(&a, &b, &error), 0);
	assert_int_equal(attachments_add(&b, "a.png", &error), 0);
	assert_string_equal(json_string_value(json_array_get(a.images, 0)), "iVBORw0KGgox");
	assert_string_equal(json_string_value(b.mask), "iVBORw0KGgoyMg==");
	assert_int_equal(json_array_size(a.images), 1);
	assert_int_equal(json_array_size(b.images), 2);
	attachments_finish(&a);
	attachments_finish(&b);
}

static void test_bounds(void **state)
{
	struct attachments a = { 0 };

	(void)state;
	make("a.png", PNG);
	for (unsigned i = 0; i < LIMIT_INPUT_IMAGES; i++)
		assert_int_equal(attachments_add(&a, "a.png", &error), 0);
	assert_int_equal(attachments_add(&a, "a.png", &error), -E2BIG);
	assert_string_equal(error.text, "a.png is one too many: a picture is made from at most 16 images");
	attachments_finish(&a);

	make("big.png", PNG);
	assert_int_equal(truncate("big.png", LIMIT_BODY / 2), 0);
	assert_int_equal(attachments_add(&a, "big.png", &error), 0);
	assert_int_equal(attachments_add(&a, "big.png", &error), -EMSGSIZE);
	assert_non_null(strstr(error.text, "big.png is 33554432 bytes, more than the "));
	assert_int_equal(attachments_add(&a, "a.png", &error), 0);
	assert_int_equal(truncate("big.png", LIMIT_BODY), 0);
	assert_true(attachments_set_mask(&a, "big.png", &error) < 0);
	assert_non_null(strstr(error.text, "big.png is 67108864 bytes, more than the "));
	attachments_finish(&a);
}

static void test_missing(void **state)
{
	struct attachments a = { 0 };

	(void)state;
	assert_int_equal(attachments_add(&a, "none.png", &error), -ENOENT);
	assert_string_equal(error.text, "open none.png: No such file or directory");
	assert_true(attachments_add(&a, "/", &error) < 0);
	assert_true(attachments_add(&a, "/dev/zero", &error) < 0);
	assert_string_equal(error.text, "/dev/zero is not a regular file");
	attachments_finish(&a);
}

/* Words of the command line; the pictures are told apart by what is in them. */
static const struct row {
	const char *first, *words[6], *prompt, *pictures;
} rows[] = {
	{ NULL, { "make it blue", "a.png" }, "make it blue", "a" },
	{ NULL, { "a.png", "make", "it", "./b.JPG", "blue" }, "make it blue", "ab" },
	{ NULL, { "mix ./b.JPG and", "a.png", "./b.JPG" }, "mix  and", "bab" },
	{ NULL, { "put", "./my", "pic.webp", "here" }, "put  here", "c" },
	{ NULL, { "my pic.webp", "x" }, "x", "c" },
	{ "from stdin", { "a.png", "end" }, "from stdin end", "a" },
	{ "see ./b.JPG", { "end" }, "see  end", "b" },
	{ "", { "x" }, "x", "" },
	{ NULL, { "a", "", "b" }, "a  b", "" },
	{ NULL, { "  a b\n" }, "a b", "" },
	{ NULL, { "none.png", "folder.png", "a.png.txt", "word a.png" }, "none.png folder.png a.png.txt word a.png", "" },
	{ NULL, { "a.png" }, "", "a" },
	{ NULL, { NULL }, "", "" },
};

static void test_words(void **state)
{
	static const struct { const char *base64; char name; } names[] = {
		{ "iVBORw0KGgph", 'a' }, { "/9j/4GI=", 'b' }, { "iVBORw0KGgpj", 'c' },
	};

	(void)state;
	make("a.png", PNG "a");
	make("b.JPG", "\xff\xd8\xff\xe0" "b");
	make("my pic.webp", PNG "c");
	make("folder.png/x", "");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct attachments a = { 0 };
		char pictures[8] = "", *prompt;
		const json_t *value;
		size_t n = 0, k;

		while (rows[i].words[n])
			n++;
		assert_int_equal(attachments_take_words(&a, rows[i].first, (char *const *)rows[i].words, n,
							&prompt, &error), 0);
		json_array_foreach(a.images, k, value)
			for (size_t j = 0; j < 3; j++)
				if (!strcmp(json_string_value(value), names[j].base64))
					pictures[strlen(pictures)] = names[j].name;
		assert_string_equal(prompt, rows[i].prompt);
		assert_string_equal(pictures, rows[i].pictures);
		free(prompt);
		attachments_finish(&a);
	}
}

static void test_prompts_of_wrong_files(void **state)
{
	char word[] = "a.png", *const words[] = { word };
	struct attachments a = { 0 };
	char *prompt;

	(void)state;
	make("a.png", "text");
	assert_int_equal(attachments_take(&a, "make ./a.png blue", &prompt, &error), -EINVAL);
	assert_string_equal(error.text, "invalid image type: text/plain; charset=utf-8");
	assert_int_equal(attachments_take_words(&a, NULL, words, 1, &prompt, &error), -EINVAL);
	assert_string_equal(error.text, "invalid image type: text/plain; charset=utf-8");
	attachments_finish(&a);
}

static void test_beginning(void **state)
{
	char text[PATH_MAX + 32];

	(void)state;
	make("a.png", PNG);
	snprintf(text, sizeof text, "%s/a.png blue", folder);
	assert_true(attachments_begin(text));
	snprintf(text, sizeof text, "see %s/a.png", folder);
	assert_false(attachments_begin(text));
	assert_false(attachments_begin("/set width 5"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_types, enter_folder, leave_folder),
		cmocka_unit_test_setup_teardown(test_base64, enter_folder, leave_folder),
		cmocka_unit_test_setup_teardown(test_bounds, enter_folder, leave_folder),
		cmocka_unit_test_setup_teardown(test_missing, enter_folder, leave_folder),
		cmocka_unit_test_setup_teardown(test_words, enter_folder, leave_folder),
		cmocka_unit_test_setup_teardown(test_prompts_of_wrong_files, enter_folder, leave_folder),
		cmocka_unit_test_setup_teardown(test_beginning, enter_folder, leave_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
