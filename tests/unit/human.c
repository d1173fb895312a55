/*
 * human.c: the words of the tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/timefmt.h"

#define SECOND INT64_C(1000000000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

static void test_numbers(void **unused)
{
	static const struct {
		void (*print)(uint64_t, char *, size_t);
		uint64_t n;
		const char *want;
	} rows[] = {
		{ human_bytes, 0, "0 B" }, { human_bytes, 999, "999 B" }, { human_bytes, 1000, "1 KB" },
		{ human_bytes, 1024, "1.0 KB" }, { human_bytes, 1500, "1.5 KB" },
		{ human_bytes, 999999, "999 KB" }, { human_bytes, 7720000000, "7.7 GB" },
		{ human_bytes, 13999999999, "13 GB" }, { human_bytes, 1999999999999, "2.0 TB" },
		{ human_bytes, UINT64_MAX, "18446744 TB" },
		{ human_bytes_binary, 1023, "1023 B" }, { human_bytes_binary, 1024, "1.0 KiB" },
		{ human_bytes_binary, 1048575, "1024.0 KiB" }, { human_bytes_binary, 1048576, "1.0 MiB" },
		{ human_bytes_binary, 12348030976, "11.5 GiB" },
		{ human_count, 999, "999" }, { human_count, 1000, "1K" }, { human_count, 125000000, "125M" },
		{ human_count, 500500000, "500.50M" }, { human_count, 10300000000, "10.3B" },
		{ human_count, 1000000000, "1B" },
	};
	char text[64];

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		rows[i].print(rows[i].n, text, sizeof text);
		assert_string_equal(text, rows[i].want);
	}
}

static void test_times(void **unused)
{
	static const struct {
		int64_t ahead;
		const char *want;
	} rows[] = {
		{ -SECOND / 2, "Less than a second ago" }, { -SECOND, "1 second ago" },
		{ 59 * SECOND + 999999999, "59 seconds from now" }, { 60 * SECOND, "About a minute from now" },
		{ -120 * SECOND, "2 minutes ago" }, { 4 * 60 * SECOND + 59 * SECOND, "4 minutes from now" },
		{ -HOUR, "About an hour ago" }, { -HOUR * 3 / 2, "2 hours ago" }, { -47 * HOUR, "47 hours ago" },
		{ -48 * HOUR, "2 days ago" }, { -14 * DAY, "2 weeks ago" }, { -60 * DAY, "2 months ago" },
		{ -729 * DAY, "24 months ago" }, { -730 * DAY, "2 years ago" },
		{ 20 * 365 * DAY, "20 years from now" }, { 21 * 365 * DAY, "Forever" }, { INT64_MAX, "Forever" },
	};
	char text[64];

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		/* Now is 1, so that the furthest time does not leave the range. */
		human_time(rows[i].ahead == INT64_MAX ? INT64_MAX : 1 + rows[i].ahead, 1, text, sizeof text);
		assert_string_equal(text, rows[i].want);
	}
	human_time(INT64_MIN, time_now_ns(), text, sizeof text);
	assert_string_equal(text, "Never");
	human_time(0, time_now_ns(), text, sizeof text);
	assert_string_equal(text, "Never");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_numbers), cmocka_unit_test(test_times) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
