/*
 * timefmt.c: RFC 3339 in both directions, and the ends of the range.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "common/timefmt.h"

static void test_format(void **unused)
{
	char text[TIME_TEXT_SIZE];

	(void)unused;
	time_format(0, true, text);
	assert_string_equal(text, "1970-01-01T00:00:00Z");
	time_format(1795236414195000000, true, text);
	assert_string_equal(text, "2026-11-21T04:46:54.195Z");
	time_format(-500000000, true, text);
	assert_string_equal(text, "1969-12-31T23:59:59.5Z");
	setenv("TZ", "XYZ-05:30", 1);
	tzset();
	time_format(1, false, text);
	assert_string_equal(text, "1970-01-01T05:30:00.000000001+05:30");
	setenv("TZ", "XYZ+03", 1);
	tzset();
	time_format(0, false, text);
	assert_string_equal(text, "1969-12-31T21:00:00-03:00");
}

static void test_round_trip(void **unused)
{
	static const int64_t times[] = {
		0, 1, -1, 1795236414195000001, INT64_MAX, INT64_MIN + 1, INT64_MIN, 951782400000000000,
	};
	char text[TIME_TEXT_SIZE];
	int64_t back;

	(void)unused;
	for (size_t i = 0; i < 2 * sizeof times / sizeof *times; i++) {
		time_format(times[i / 2], i % 2, text);
		assert_int_equal(time_parse(text, &back, NULL), 0);
		if (back != times[i / 2])
			fail_msg("%s", text);
	}
}

static void test_parse(void **unused)
{
	static const char *const bad[] = {
		"", "x", "2026-11-21", "2026-11-21T04:46:54", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z",
		"2026-11-21T24:00:00Z", "2026-11-21T04:46:54.Z", "2026-11-21T04:46:54Zx",
		"2026-11-21T04:46:54+5:30", "-026-11-21T04:46:54Z",
	};
	struct err err;
	int64_t ns;

	(void)unused;
	assert_int_equal(time_parse("2024-02-29T23:00:00.1234567891-01:30", &ns, &err), 0);
	assert_true(ns == 1709253000123456789);
	assert_int_equal(time_parse("0001-01-01T00:00:00Z", &ns, &err), 0);
	assert_true(ns == INT64_MIN);
	assert_int_equal(time_parse("9999-12-31T23:59:59Z", &ns, &err), 0);
	assert_true(ns == INT64_MAX);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (time_parse(bad[i], &ns, &err) != -EINVAL)
			fail_msg("%s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
