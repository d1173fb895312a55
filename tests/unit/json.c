/*
 * json.c: what clients send that plain JSON parsers refuse, and the error texts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fields.h"
#include "common/limits.h"
#include "tests/temp.h"

static void expect(const char *text, const char *want)
{
	struct err err = { 0 };
	json_t *value = json_parse(text, strlen(text), true, &err);
	char *got = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

	if (!got || strcmp(got, want))
		fail_msg("%s: got %s %s, not %s", text, got ? got : "error", err.text, want);
	free(got);
	json_decref(value);
}

static void expect_error(const char *text, bool trailing, const char *want)
{
	struct err err = { 0 };

	assert_null(json_parse(text, strlen(text), trailing, &err));
	if (!strstr(err.text, want))
		fail_msg("%s: \"%s\", not \"%s\"", text, err.text, want);
}

static void test_repaired(void **unused)
{
	(void)unused;
	expect("{\"a\":\"\xFF\xC3(\"}", "{\"a\":\"\xEF\xBF\xBD\xEF\xBF\xBD(\"}");
	expect("\"\\ud800\"", "\"\xEF\xBF\xBD\"");
	expect("\"\\udc00x\\uD83D\"", "\"\xEF\xBF\xBDx\xEF\xBF\xBD\"");
	expect("\"\\ud800\\ud83d\\ude00\"", "\"\xEF\xBF\xBD\xF0\x9F\x98\x80\"");
	expect("\"a\\u0000b\"", "\"a\xEF\xBF\xBD" "b\"");
	expect("\"\\\\u0000\\\"\"", "\"\\\\u0000\\\"\"");
	expect("{\"a\\u0000\":1}", "{\"a\xEF\xBF\xBD\":1}");
}

static void test_numbers(void **unused)
{
	(void)unused;
	expect("[9223372036854775807,-9223372036854775808]", "[9223372036854775807,-9223372036854775808]");
	expect("[9223372036854775808]", "[9.2233720368547758e18]");
	expect("[-18446744073709551616,1]", "[-1.8446744073709552e19,1]");
	expect("[1e2,1.0,0.5e-1,-0]", "[100.0,1.0,0.050000000000000003,0]");
	expect("\"99999999999999999999\"", "\"99999999999999999999\"");
	expect_error("[1.]", true, "");
	expect_error("[01]", true, "");
	expect_error("[--1]", true, "");
}

static void test_trailing(void **unused)
{
	(void)unused;
	expect("{\"m\":1} junk", "{\"m\":1}");
	expect("[] [[[\"", "[]");
	expect("  null", "null");
	expect("{\"a\":1,\"a\":2}", "{\"a\":2}");
	expect_error("{} x", false, "end of file expected");
}

static void test_cut_off(void **unused)
{
	static const char whole[] = "{\"a\":[1,{\"b\":\"x\\n\\u00e9\"},true]}";
	struct err err;

	(void)unused;
	for (size_t len = 1; len + 1 < sizeof whole; len++) {
		json_t *value = json_parse(whole, len, true, &err);

		assert_null(value);
		/* Half a literal is a syntax error to the parser; all else is recognised as cut. */
		if (whole[len - 1] != 't' && whole[len - 1] != 'r' && whole[len - 1] != 'u')
			assert_string_equal(err.text, "unexpected EOF");
	}
	expect_error("", true, "EOF");
	expect_error(" \t\r\n", true, "EOF");
	expect_error("{x}", true, "near 'x'");
	expect_error("\"\\u12", true, "unexpected EOF");
}

static void test_depth(void **unused)
{
	char text[4 * LIMIT_JSON_DEPTH];

	(void)unused;
	memset(text, '[', sizeof text);
	text[LIMIT_JSON_DEPTH + 1] = '\0';
	expect_error(text, false, "nested deeper");
	memset(text + LIMIT_JSON_DEPTH, ']', LIMIT_JSON_DEPTH);
	text[2 * LIMIT_JSON_DEPTH] = '\0';
	expect(text, text);
}

static void test_file(void **unused)
{
	char *folder = temp_create(), path[256];
	struct err err;
	json_t *value;

	(void)unused;
	snprintf(path, sizeof path, "%s/a.json", folder);
	assert_null(json_parse_file(path, 100, &err));
	assert_non_null(strstr(err.text, "a.json: No such file"));
	temp_write(folder, "a.json", "{\"x\":", 5);
	assert_null(json_parse_file(path, 100, &err));
	assert_non_null(strstr(err.text, "a.json: unexpected EOF"));
	assert_null(json_parse_file(path, 4, &err));
	temp_write(folder, "a.json", "[1]\n", 4);
	value = json_parse_file(path, 4, &err);
	assert_int_equal(json_array_size(value), 1);
	json_decref(value);
	assert_null(json_parse_file(folder, 100, &err));
	temp_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_repaired),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_trailing),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
