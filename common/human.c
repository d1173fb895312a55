/*
 * Sizes, counts and times in the words of the command line's tables. Pure functions.
 */
#include <inttypes.h>
#include <stdio.h>

#include "common/timefmt.h"

#define SECOND INT64_C(1000000000)
#define HOUR (3600 * SECOND)

void human_bytes(uint64_t n, char *ret, size_t size)
{
	static const char *const units[] = { "B", "KB", "MB", "GB", "TB" };
	uint64_t scale = 1;
	size_t i = 0;

	for (; i < 4 && n / scale >= 1000; i++)
		scale *= 1000;
	if (n / scale < 10 && n % scale)
		snprintf(ret, size, "%.1f %s", (double)n / (double)scale, units[i]);
	else
		snprintf(ret, size, "%" PRIu64 " %s", n / scale, units[i]);
}

void human_bytes_binary(uint64_t n, char *ret, size_t size)
{
	static const char *const units[] = { "KiB", "MiB", "GiB" };
	double value = (double)n / 1024;
	size_t i = 0;

	if (n < 1024) {
		snprintf(ret, size, "%" PRIu64 " B", n);
		return;
	}
	for (; i < 2 && value >= 1024; i++)
		value /= 1024;
	snprintf(ret, size, "%.1f %s", value, units[i]);
}

void human_count(uint64_t n, char *ret, size_t size)
{
	const uint64_t billion = 1000000000, million = 1000000;

	if (n >= billion)
		snprintf(ret, size, n % billion ? "%.1fB" : "%.0fB", (double)n / (double)billion);
	else if (n >= million)
		snprintf(ret, size, n % million ? "%.2fM" : "%.0fM", (double)n / (double)million);
	else if (n >= 1000)
		snprintf(ret, size, "%.0fK", (double)n / 1000);
	else
		snprintf(ret, size, "%" PRIu64, n);
}

/* Rows by hours: below which, divided by what, and the word. */
static void print_hours(int64_t hours, char *ret, size_t size)
{
	static const struct {
		int64_t below, divisor;
		const char *word;
	} rows[] = {
		{ 48, 1, "hours" },
		{ 24 * 14, 24, "days" },
		{ 24 * 60, 24 * 7, "weeks" },
		{ 24 * 365 * 2, 24 * 30, "months" },
		{ INT64_MAX, 24 * 365, "years" },
	};
	size_t i = 0;

	while (hours >= rows[i].below)
		i++;
	snprintf(ret, size, "%" PRId64 " %s", hours / rows[i].divisor, rows[i].word);
}

static void human_duration(int64_t ns, char *ret, size_t size)
{
	int64_t seconds = ns / SECOND, minutes = seconds / 60;
	int64_t hours = ns / HOUR + (ns % HOUR >= HOUR / 2);

	if (seconds < 1)
		snprintf(ret, size, "Less than a second");
	else if (seconds == 1)
		snprintf(ret, size, "1 second");
	else if (seconds < 60)
		snprintf(ret, size, "%" PRId64 " seconds", seconds);
	else if (minutes == 1)
		snprintf(ret, size, "About a minute");
	else if (minutes < 60)
		snprintf(ret, size, "%" PRId64 " minutes", minutes);
	else if (hours == 1)
		snprintf(ret, size, "About an hour");
	else
		print_hours(hours, ret, size);
}

void human_time(int64_t unix_ns, int64_t now_ns, char *ret, size_t size)
{
	char words[48];
	int64_t ahead;

	if (unix_ns == INT64_MIN || unix_ns == 0) {
		snprintf(ret, size, "Never");
		return;
	}
	if (__builtin_sub_overflow(unix_ns, now_ns, &ahead))
		ahead = unix_ns > now_ns ? INT64_MAX : -INT64_MAX;
	if (ahead / HOUR > 20 * 365 * 24) {
		snprintf(ret, size, "Forever");
		return;
	}
	human_duration(ahead < 0 ? -ahead : ahead, words, sizeof(words));
	snprintf(ret, size, "%s %s", words, ahead > 0 ? "from now" : "ago");
}
