/*
 * Sizes, counts and times as people read them (cli.md 4.4). Owns nothing; any thread.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/timefmt.h"

#define SECOND INT64_C(1000000000)

void human_bytes(uint64_t n, char *ret, size_t size)
{
	static const char *const units[] = { "B", "KB", "MB", "GB", "TB" };
	double value = (double)n;
	unsigned unit = 0;

	while (value >= 1000 && unit < 4) {
		value /= 1000;
		unit++;
	}
	if (value >= 10)
		snprintf(ret, size, "%.0f %s", trunc(value), units[unit]);
	else if (value != trunc(value))
		snprintf(ret, size, "%.1f %s", value, units[unit]);
	else
		snprintf(ret, size, "%.0f %s", value, units[unit]);
}

void human_bytes_binary(uint64_t n, char *ret, size_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)n;
	unsigned unit = 0;

	if (n < 1024) {
		snprintf(ret, size, "%" PRIu64 " B", n);
		return;
	}
	while (value >= 1024 && unit < 4) {
		value /= 1024;
		unit++;
	}
	snprintf(ret, size, "%.1f %s", value, units[unit]);
}

void human_count(uint64_t n, char *ret, size_t size)
{
	double value = (double)n;

	if (n >= 1000000000) {
		value /= 1e9;
		snprintf(ret, size, value == trunc(value) ? "%.0fB" : "%.1fB", value);
	} else if (n >= 1000000) {
		value /= 1e6;
		snprintf(ret, size, value == trunc(value) ? "%.0fM" : "%.2fM", value);
	} else if (n >= 1000) {
		snprintf(ret, size, "%.0fK", trunc(value / 1000));
	} else {
		snprintf(ret, size, "%" PRIu64, n);
	}
}

static void human_duration(int64_t ns, char *ret, size_t size)
{
	int64_t seconds = ns / SECOND, minutes = seconds / 60;
	int64_t hours = llround((double)ns / (double)(3600 * SECOND));

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
	else if (hours < 48)
		snprintf(ret, size, "%" PRId64 " hours", hours);
	else if (hours < 24 * 7 * 2)
		snprintf(ret, size, "%" PRId64 " days", hours / 24);
	else if (hours < 24 * 30 * 2)
		snprintf(ret, size, "%" PRId64 " weeks", hours / 24 / 7);
	else if (hours < 24 * 365 * 2)
		snprintf(ret, size, "%" PRId64 " months", hours / 24 / 30);
	else
		snprintf(ret, size, "%" PRId64 " years", hours / 24 / 365);
}

void human_time(int64_t unix_ns, int64_t now_ns, char *ret, size_t size)
{
	int64_t ahead = unix_ns - now_ns;
	char words[64];

	if (unix_ns == 0)
		snprintf(ret, size, "Never");
	else if (ahead > INT64_C(20) * 365 * 24 * 3600 * SECOND)
		snprintf(ret, size, "Forever");
	else {
		human_duration(ahead < 0 ? -ahead : ahead, words, sizeof words);
		snprintf(ret, size, "%s %s", words, ahead > 0 ? "from now" : "ago");
	}
}
