/*
 * duration.c: Go's durations, its error texts, its way of printing.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/timefmt.h"

#define SECOND INT64_C(1000000000)

static void test_parse(void **unused)
{
	static const struct {
		const char *text;
		int64_t want;
	} rows[] = {
		{ "0", 0 }, { "-0", 0 }, { "0s", 0 }, { "5m", 300 * SECOND }, { "1h30m", 5400 * SECOND },
		{ "-1m", -60 * SECOND }, { "+5s", 5 * SECOND }, { "1.5s", 1500000000 }, { ".5s", 500000000 },
		{ "1.s", SECOND }, { "1us", 1000 }, { "1\xC2\xB5s", 1000 }, { "1\xCE\xBCs", 1000 },
		{ "3ms4ns", 3000004 }, { "0.1h", 360 * SECOND }, { "0.000000000000000000001h", 0 },
		{ "9223372036854775807ns", INT64_MAX }, { "-9223372036854775808ns", INT64_MIN },
		{ "2562047h47m16.854775807s", INT64_MAX },
	};
	int64_t ns;

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (duration_parse(rows[i].text, &ns, NULL) < 0 || ns != rows[i].want)
			fail_msg("%s", rows[i].text);
	}
}

static void test_refused(void **unused)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "", "time: invalid duration \"\"" },
		{ "x", "time: invalid duration \"x\"" },
		{ "-", "time: invalid duration \"-\"" },
		{ ".s", "time: invalid duration \".s\"" },
		{ "1m ", "time: unknown unit \"m \" in duration \"1m \"" },
		{ "10", "time: missing unit in duration \"10\"" },
		{ "1h0", "time: missing unit in duration \"1h0\"" },
		{ "1d", "time: unknown unit \"d\" in duration \"1d\"" },
		{ "9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\"" },
		{ "3000000h", "time: invalid duration \"3000000h\"" },
		{ "99999999999999999999s", "time: invalid duration \"99999999999999999999s\"" },
		{ "2000000h2000000h", "time: invalid duration \"2000000h2000000h\"" },
	};
	struct err err;
	int64_t ns;

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(duration_parse(rows[i].text, &ns, &err), -EINVAL);
		assert_string_equal(err.text, rows[i].want);
	}
}

static void test_format(void **unused)
{
	static const struct {
		int64_t ns;
		const char *want;
	} rows[] = {
		{ 0, "0s" }, { 1, "1ns" }, { 1500, "1.5\xC2\xB5s" }, { 1500000, "1.5ms" }, { SECOND, "1s" },
		{ 1500000000, "1.5s" }, { 600 * SECOND, "10m0s" }, { 3600 * SECOND, "1h0m0s" },
		{ 90061000000001, "25h1m1.000000001s" }, { -60 * SECOND, "-1m0s" },
		{ INT64_MIN, "-2562047h47m16.854775808s" },
	};
	char text[TIME_TEXT_SIZE];

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		duration_format(rows[i].ns, text);
		assert_string_equal(text, rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
