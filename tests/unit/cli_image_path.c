/*
 * Which parts of a prompt are pictures: rows of text, of what is left of it, and of the
 * files found, in a world where the listed files exist.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/image_path.h"

static const char *const files[] = {
	"/a.png", "/b.jpg", "/dir/my cat.jpeg", "/dir/(x).webp", "./c.PNG", "../up.JpEg", "/home/u/d.png",
	"/dir/holiday.png.d/beach.jpg", "/dir/holiday.png", "C:\\pics\\e.png", "/dir/100%20.png", "name.png",
	"/dir/it's.png", "/dir/a.png copy.jpg", "\\f.png", "/dir/写真.webp", "/dir/tab\tx.png", "/.png",
	"/dir/semi;colon.png",
};

static bool exists(const char *path)
{
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		if (!strcmp(files[i], path))
			return true;
	return false;
}

static const struct image_path_world world = { exists, "/home/u" };

/* "rest|path|path": the text without its pictures, and those. */
static void describe(const char *text, const struct image_path_world *w, char *ret)
{
	struct image_path found;
	char paths[1024] = "";
	size_t at = 0;

	*ret = '\0';
	while (image_path_next(text, at, w, &found) > 0) {
		assert_true(found.start >= at && found.end > found.start && found.end <= strlen(text));
		strncat(ret, text + at, found.start - at);
		strcat(strcat(paths, "|"), found.path);
		free(found.path);
		at = found.end;
	}
	strcat(strcat(ret, text + at), paths);
}

static const struct row {
	const char *text, *expected;
} rows[] = {
	{ "", "" },
	{ "no picture in a/b, 1/2 or x.png", "no picture in a/b, 1/2 or x.png" },
	{ "make /a.png blue", "make  blue|/a.png" },
	{ "/a.png/b.jpg", "/a.png/b.jpg" },
	{ "/a.png /b.jpg mix", "  mix|/a.png|/b.jpg" },
	{ "/a.png,/b.jpg", ",|/a.png|/b.jpg" },
	{ "(/a.png)", "()|/a.png" },
	{ "photo:/a.png x:/b.jpg", "photo: x:|/a.png|/b.jpg" },
	{ "把/a.png变成蓝色", "把变成蓝色|/a.png" },
	{ "./c.PNG ../up.JpEg", " |./c.PNG|../up.JpEg" },
	{ "~/d.png it", " it|/home/u/d.png" },
	{ "C:\\pics\\e.png it \\f.png", " it |C:\\pics\\e.png|\\f.png" },
	/* Only files that exist; a path that does not hides none that does. */
	{ "/missing.png stays", "/missing.png stays" },
	{ "and/or /a.png", "and/or |/a.png" },
	{ "/missing.png and /a.png", "/missing.png and |/a.png" },
	{ "/missing/a.png dir/a.png x./c.PNG -/a.png", "/missing/a.png dir/a.png x./c.PNG -/a.png" },
	/* Where paths end. */
	{ "/a.pngs /a.png_1 /a.png1", "/a.pngs /a.png_1 /a.png1" },
	{ "/a.png.", ".|/a.png" },
	{ "/a.png-like", "-like|/a.png" },
	{ "/dir/holiday.png.d/beach.jpg x", " x|/dir/holiday.png.d/beach.jpg" },
	{ "/dir/holiday.png x", " x|/dir/holiday.png" },
	{ "/.png", "/.png" },
	{ "/dir/tab\tx.png", "/dir/tab\tx.png" },
	{ "/dir/\nb.jpg", "/dir/\nb.jpg" },
	/* Blanks and escapes. */
	{ "/dir/my cat.jpeg", "|/dir/my cat.jpeg" },
	{ "x /dir/my\\ cat.jpeg y", "x  y|/dir/my cat.jpeg" },
	{ "/dir/my%20cat.jpeg", "|/dir/my cat.jpeg" },
	{ "/dir/\\(x\\).webp", "|/dir/(x).webp" },
	{ "/dir/100%20.png", "|/dir/100%20.png" },
	{ "/dir/a.png\\ copy.jpg", "|/dir/a.png copy.jpg" },
	{ "/dir/写真.webp", "|/dir/写真.webp" },
	/* Quotes. */
	{ "'/a.png' \"/b.jpg\"", " |/a.png|/b.jpg" },
	{ "x '/dir/my cat.jpeg' y", "x  y|/dir/my cat.jpeg" },
	{ "\"/dir/a.png copy.jpg\"", "|/dir/a.png copy.jpg" },
	{ "'/dir/it'\\''s.png'", "|/dir/it's.png" },
	{ "\"/dir/it's.png\"", "|/dir/it's.png" },
	{ "'~/d.png' \"name.png\" name.png", "  name.png|/home/u/d.png|name.png" },
	{ "'/dir/semi;colon.png'", "|/dir/semi;colon.png" },
	{ "\"put /a.png here\"", "\"put  here\"|/a.png" },
	{ "'/missing.png' and '/a.png'", "'/missing.png' and |/a.png" },
	{ "it's /a.png that's", "it's  that's|/a.png" },
	{ "\"/a.png", "\"|/a.png" },
	{ "'\"'\"'", "'\"'\"'" },
};

static void test_rows(void **state)
{
	char text[2048];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		describe(rows[i].text, &world, text);
		assert_string_equal(text, rows[i].expected);
	}
}

static void test_no_home(void **state)
{
	const struct image_path_world homeless = { exists, NULL };
	char text[64];

	(void)state;
	describe("~/d.png", &homeless, text);
	assert_string_equal(text, "~/d.png");
}

/* A long way to the end of a path, and many starts on it: bounded work. */
static void test_long_texts(void **state)
{
	const size_t len = 4 << 20;
	char *text = malloc(len + 8);
	struct image_path found;

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < len; i++)
		text[i] = " /'/"[i % 4];
	strcpy(text + len, "/x.png");
	assert_int_equal(image_path_next(text, 0, &world, &found), 0);
	strcpy(text + len, " /a.png");
	assert_int_equal(image_path_next(text, 0, &world, &found), 1);
	assert_int_equal(found.start, len + 1);
	free(found.path);
	free(text);
}

static void test_beginnings(void **state)
{
	static const char *const yes[] = { "/missing.png x", "/a b.jpg", "./x.webp", "~/x.PNG", "C:/x.png" };
	static const char *const no[] = { "/set width 5", "x /a.png", "/.png", "/a.png.d/x", "" };

	(void)state;
	for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
		assert_true(image_path_begins(yes[i]));
	for (size_t i = 0; i < sizeof no / sizeof *no; i++)
		assert_false(image_path_begins(no[i]));
}

static void test_types(void **state)
{
	(void)state;
	assert_true(image_path_has_type("a.png") && image_path_has_type("x/b.c.JPEG"));
	assert_false(image_path_has_type("a.gif") || image_path_has_type(".png") ||
		     image_path_has_type("png") || image_path_has_type("a.png.txt") ||
		     image_path_has_type("") || image_path_has_type("a.pngx"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_no_home),
		cmocka_unit_test(test_long_texts),
		cmocka_unit_test(test_beginnings),
		cmocka_unit_test(test_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
