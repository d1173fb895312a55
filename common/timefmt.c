/*
 * Times and durations: RFC 3339, Go's duration texts, and the words that a person
 * reads in tables. Pure functions, but for the two clocks.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/timefmt.h"

#define SECOND INT64_C(1000000000)
#define ZERO_TIME "0001-01-01T00:00:00Z"        /* how the reference writes "no time" */

static int64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

int64_t time_now_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

int64_t time_monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* ".123" without trailing zeros, or nothing. */
static void format_fraction(int64_t ns, char ret[16])
{
	size_t len;

	snprintf(ret, 16, ".%09" PRId64, ns);
	len = strlen(ret);
	while (ret[len - 1] == '0')
		len--;
	ret[len == 1 ? 0 : len] = '\0';
}

void time_format(int64_t unix_ns, bool utc, char ret[TIME_TEXT_SIZE])
{
	char stamp[32], fraction[16], zone[16] = "Z";
	int64_t ns = unix_ns % SECOND;
	time_t seconds = unix_ns / SECOND - (ns < 0);
	struct tm tm;

	if (unix_ns == INT64_MIN) {
		snprintf(ret, TIME_TEXT_SIZE, ZERO_TIME);
		return;
	}
	if (utc)
		gmtime_r(&seconds, &tm);
	else
		localtime_r(&seconds, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	format_fraction(ns < 0 ? ns + SECOND : ns, fraction);
	if (!utc && tm.tm_gmtoff) {
		long minutes = tm.tm_gmtoff / 60, absolute = minutes < 0 ? -minutes : minutes;

		snprintf(zone, sizeof(zone), "%c%02ld:%02ld", minutes < 0 ? '-' : '+',
			 absolute / 60 % 100, absolute % 60);
	}
	snprintf(ret, TIME_TEXT_SIZE, "%s%s%s", stamp, fraction, zone);
}

/* Exactly n digits at *text, moved past them; -1 when they are not there. */
static int take_digits(const char **text, int n)
{
	int value = 0;

	for (; n > 0; n--, ++*text) {
		if (**text < '0' || **text > '9')
			return -1;
		value = 10 * value + (**text - '0');
	}
	return value;
}

static bool take_char(const char **text, const char *any)
{
	if (!**text || !strchr(any, **text))
		return false;
	++*text;
	return true;
}

/* Each row: digits, how many, least, most, and what stands in front. */
static bool take_date(const char **text, struct tm *tm)
{
	const struct {
		int digits, min, max;
		const char *before;
		int *to;
	} parts[] = {
		{ 4, 1, 9999, NULL, &tm->tm_year }, { 2, 1, 12, "-", &tm->tm_mon },
		{ 2, 1, 31, "-", &tm->tm_mday }, { 2, 0, 23, "Tt ", &tm->tm_hour },
		{ 2, 0, 59, ":", &tm->tm_min }, { 2, 0, 59, ":", &tm->tm_sec },
	};

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		if (parts[i].before && !take_char(text, parts[i].before))
			return false;
		*parts[i].to = take_digits(text, parts[i].digits);
		if (*parts[i].to < parts[i].min || *parts[i].to > parts[i].max)
			return false;
	}
	tm->tm_year -= 1900;
	tm->tm_mon--;
	return true;
}

static bool take_fraction(const char **text, int64_t *ret_ns)
{
	int64_t unit = SECOND;

	*ret_ns = 0;
	if (!take_char(text, "."))
		return true;
	if (**text < '0' || **text > '9')
		return false;
	for (; **text >= '0' && **text <= '9'; ++*text) {
		unit /= 10;
		*ret_ns += (**text - '0') * unit;
	}
	return true;
}

static bool take_zone(const char **text, int64_t *ret_seconds)
{
	int sign = **text == '-' ? -1 : 1, hours, minutes;

	*ret_seconds = 0;
	if (take_char(text, "Zz"))
		return true;
	if (!take_char(text, "+-"))
		return false;
	hours = take_digits(text, 2);
	if (hours < 0 || hours > 23 || !take_char(text, ":"))
		return false;
	minutes = take_digits(text, 2);
	if (minutes < 0 || minutes > 59)
		return false;
	*ret_seconds = sign * (60 * (60 * hours + minutes));
	return true;
}

/* Outside of what 64 bits of nanoseconds hold (1677 to 2262): the nearest end. */
static int64_t to_ns(int64_t seconds, int64_t ns)
{
	int64_t ret;

	if (seconds < 0) {              /* towards zero, so that the lowest times do not overflow */
		seconds++;
		ns -= SECOND;
	}
	if (__builtin_mul_overflow(seconds, SECOND, &ret) || __builtin_add_overflow(ret, ns, &ret))
		return ns < 0 ? INT64_MIN : INT64_MAX;
	return ret;
}

int time_parse(const char *text, int64_t *ret_unix_ns, struct err *err)
{
	const char *p = text;
	struct tm tm = { 0 };
	int64_t seconds, ns, zone;
	int day;

	if (!take_date(&p, &tm) || !take_fraction(&p, &ns) || !take_zone(&p, &zone) || *p)
		return err_set(err, -EINVAL, "invalid time \"%.100s\"", text);
	day = tm.tm_mday;
	seconds = timegm(&tm);          /* turns February 30 into March */
	if (tm.tm_mday != day)
		return err_set(err, -EINVAL, "invalid time \"%.100s\"", text);
	*ret_unix_ns = to_ns(seconds - zone, ns);
	return 0;
}
