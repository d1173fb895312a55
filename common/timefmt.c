/*
 * Times, durations and human numbers as Go programs print them. Owns nothing; any thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/timefmt.h"

#define SECOND INT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

static int64_t now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * SECOND + ts.tv_nsec;
}

int64_t time_now_ns(void)
{
	return now(CLOCK_REALTIME);
}

int64_t time_monotonic_ns(void)
{
	return now(CLOCK_MONOTONIC);
}

/* ".123" of ns below a second, without trailing zeros; "" for 0. */
static void format_fraction(int64_t ns, char ret[12])
{
	size_t len;

	ret[0] = '\0';
	if (!ns)
		return;
	snprintf(ret, 12, ".%09d", (int)ns);
	for (len = strlen(ret); ret[len - 1] == '0'; len--)
		ret[len - 1] = '\0';
}

void time_format(int64_t unix_ns, bool utc, char ret[TIME_TEXT_SIZE])
{
	int64_t fraction = (unix_ns % SECOND + SECOND) % SECOND;
	time_t seconds = (time_t)((unix_ns - fraction) / SECOND);
	char date[32], digits[12], zone[16] = "Z";
	struct tm tm = { 0 };
	long offset;

	if (utc)
		gmtime_r(&seconds, &tm);
	else
		localtime_r(&seconds, &tm);
	offset = tm.tm_gmtoff / 60;
	if (offset)
		snprintf(zone, sizeof zone, "%c%02ld:%02ld", offset < 0 ? '-' : '+',
			 labs(offset) / 60 % 100, labs(offset) % 60);
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
	format_fraction(fraction, digits);
	snprintf(ret, TIME_TEXT_SIZE, "%s%s%s", date, digits, zone);
}

/* Digits after the dot at p as ns; *ret_end is behind them. */
static int64_t parse_fraction(const char *p, const char **ret_end)
{
	int64_t ns = 0, unit = SECOND / 10;

	for (; *p >= '0' && *p <= '9'; p++, unit /= 10)
		ns += (*p - '0') * unit;
	*ret_end = p;
	return ns;
}

static int parse_zone(const char *p, int64_t *ret_seconds)
{
	int hours, minutes, used = 0;

	if (!strcmp(p, "Z")) {
		*ret_seconds = 0;
		return 0;
	}
	if ((*p != '+' && *p != '-') || sscanf(p + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || p[1 + used])
		return -EINVAL;
	*ret_seconds = (*p == '-' ? -1 : 1) * (hours * 3600L + minutes * 60L);
	return 0;
}

int time_parse(const char *text, int64_t *ret_unix_ns, struct err *err)
{
	struct tm tm = { 0 };
	int64_t fraction = 0, zone;
	const char *p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	if (p && *p == '.')
		fraction = parse_fraction(p + 1, &p);
	if (!p || parse_zone(p, &zone) < 0)
		return err_set(err, -EINVAL, "invalid time \"%s\"", text);
	*ret_unix_ns = ((int64_t)timegm(&tm) - zone) * SECOND + fraction;
	return 0;
}

static const struct {
	const char *name;
	int64_t ns;
} units[] = {
	{ "ns", 1 }, { "us", 1000 }, { "\xC2\xB5s", 1000 }, { "\xCE\xBCs", 1000 },
	{ "ms", 1000000 }, { "s", SECOND }, { "m", MINUTE }, { "h", HOUR },
};

/* The unit whose name is exactly the len bytes at p; 0 when there is none. */
static int64_t unit_ns(const char *p, size_t len)
{
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
		if (strlen(units[i].name) == len && !memcmp(units[i].name, p, len))
			return units[i].ns;
	return 0;
}

static int invalid_duration(const char *text, struct err *err)
{
	return err_set(err, -EINVAL, "time: invalid duration \"%s\"", text);
}

/* One number and unit at *p, added to *total. */
static int parse_pair(const char *text, const char **p, double *total, struct err *err)
{
	size_t digits = strspn(*p, "0123456789"), fraction = 0, len;
	double value = 0, scale = 1;
	int64_t unit;

	for (size_t i = 0; i < digits; i++)
		value = value * 10 + ((*p)[i] - '0');
	*p += digits;
	if (**p == '.') {
		fraction = strspn(++*p, "0123456789");
		for (size_t i = 0; i < fraction; i++)
			value += ((*p)[i] - '0') * (scale /= 10);
		*p += fraction;
	}
	if (!digits && !fraction)
		return invalid_duration(text, err);
	len = strcspn(*p, ".0123456789");
	if (!len)
		return err_set(err, -EINVAL, "time: missing unit in duration \"%s\"", text);
	unit = unit_ns(*p, len);
	if (!unit)
		return err_set(err, -EINVAL, "time: unknown unit \"%.*s\" in duration \"%s\"", (int)len, *p, text);
	*p += len;
	*total += value * (double)unit;
	return 0;
}

int duration_parse(const char *text, int64_t *ret_ns, struct err *err)
{
	const char *p = text;
	double total = 0;
	bool negative = *p == '-';
	int r;

	if (*p == '-' || *p == '+')
		p++;
	if (!*p)
		return invalid_duration(text, err);
	if (!strcmp(p, "0")) {
		*ret_ns = 0;
		return 0;
	}
	while (*p) {
		r = parse_pair(text, &p, &total, err);
		if (r < 0)
			return r;
	}
	if (total >= 9223372036854775807.0)
		return invalid_duration(text, err);
	*ret_ns = (negative ? -1 : 1) * llround(total);
	return 0;
}

void duration_format(int64_t ns, char ret[TIME_TEXT_SIZE])
{
	const char *sign = ns < 0 ? "-" : "";
	uint64_t n = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	uint64_t seconds = n / (uint64_t)SECOND;
	char fraction[12];

	if (n && n < (uint64_t)SECOND) {
		uint64_t unit = n < 1000 ? 1 : n < 1000000 ? 1000 : 1000000;

		snprintf(ret, TIME_TEXT_SIZE, "%s%.15g%s", sign, (double)n / (double)unit,
			 unit == 1 ? "ns" : unit == 1000 ? "\xC2\xB5s" : "ms");
		return;
	}
	format_fraction((int64_t)(n % (uint64_t)SECOND), fraction);
	if (seconds >= 3600)
		snprintf(ret, TIME_TEXT_SIZE, "%s%" PRIu64 "h%" PRIu64 "m%" PRIu64 "%ss", sign,
			 seconds / 3600, seconds / 60 % 60, seconds % 60, fraction);
	else if (seconds >= 60)
		snprintf(ret, TIME_TEXT_SIZE, "%s%" PRIu64 "m%" PRIu64 "%ss", sign, seconds / 60,
			 seconds % 60, fraction);
	else
		snprintf(ret, TIME_TEXT_SIZE, "%s%" PRIu64 "%ss", sign, seconds, fraction);
}
