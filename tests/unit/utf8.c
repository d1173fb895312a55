/*
 * utf8.c: well-formed text, every kind of ill-formed text, repair.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/utf8.h"

static void test_round_trip(void **unused)
{
	char out[4];
	uint32_t back;

	(void)unused;
	for (uint32_t c = 0; c <= 0x10FFFF; c++) {
		size_t n;

		if (c >= 0xD800 && c < 0xE000)
			continue;
		n = utf8_encode(c, out);
		if (utf8_decode(out, n, &back) != n || back != c)
			fail_msg("U+%04X", c);
	}
}

static void test_invalid(void **unused)
{
	static const char *const rows[] = {
		"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
		"\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80", "\xFF", "\xC3", "\xE2\x82", "\xF0\x9F\x98",
		"\xC3(", "a\xE2\x82z",
	};

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (utf8_valid(rows[i], strlen(rows[i])))
			fail_msg("row %zu passes", i);
	assert_true(utf8_valid("a\0\xC3\xA9", 4));
	assert_true(utf8_valid("", 0));
}

static void test_sanitize(void **unused)
{
	size_t len;
	char *text = utf8_sanitize("a\xFF\xC3(\xE2\x82\xAC\xED", 8, &len);

	(void)unused;
	assert_string_equal(text, "a\xEF\xBF\xBD\xEF\xBF\xBD(\xE2\x82\xAC\xEF\xBF\xBD");
	assert_int_equal(len, strlen(text));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_sanitize),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
