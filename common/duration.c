/*
 * Durations as Go writes and reads them ("1h30m", "1.5s"), with its error texts,
 * which clients compare. Pure functions.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/timefmt.h"

#define MAX_NS (UINT64_C(1) << 63)

static const struct unit {
	const char *name;
	uint64_t ns;
} units[] = {
	{ "ns", 1 }, { "us", 1000 },
	{ "\302\265s", 1000 }, { "\316\274s", 1000 },   /* micro sign, Greek mu */
	{ "ms", 1000000 }, { "s", 1000000000 },
	{ "m", UINT64_C(60000000000) }, { "h", UINT64_C(3600000000000) },
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int invalid(const char *text, struct err *err)
{
	return err_set(err, -EINVAL, "time: invalid duration \"%.200s\"", text);
}

struct number {
	uint64_t whole, fraction;
	double scale;                   /* of the fraction: 10 to the power of its digits */
};

/* false without a digit or when the whole part is too large. */
static bool take_number(const char **text, struct number *ret)
{
	struct number n = { .scale = 1 };
	const char *p = *text;
	size_t digits = 0;

	for (; is_digit(*p); p++, digits++)
		if (__builtin_mul_overflow(n.whole, 10u, &n.whole) ||
		    __builtin_add_overflow(n.whole, (uint64_t)(*p - '0'), &n.whole))
			return false;
	if (*p == '.')
		for (p++; is_digit(*p); p++, digits++) {
			if (n.scale >= 1e18)
				continue;       /* far below a nanosecond */
			n.fraction = 10 * n.fraction + (uint64_t)(*p - '0');
			n.scale *= 10;
		}
	*text = p;
	*ret = n;
	return digits > 0;
}

/* *sum += n units; false when that leaves the range. */
static bool add_units(uint64_t *sum, const struct number *n, uint64_t unit)
{
	uint64_t ns;

	return !__builtin_mul_overflow(n->whole, unit, &ns) &&
	       !__builtin_add_overflow(ns, (uint64_t)((double)n->fraction * ((double)unit / n->scale)), &ns) &&
	       !__builtin_add_overflow(*sum, ns, sum) && *sum <= MAX_NS;
}

static const struct unit *find_unit(const char *text, size_t len)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (strlen(units[i].name) == len && !strncmp(units[i].name, text, len))
			return &units[i];
	return NULL;
}

static int take_unit(const char **rest, const char *text, uint64_t *ret_ns, struct err *err)
{
	size_t len = strcspn(*rest, ".0123456789");
	const struct unit *unit = find_unit(*rest, len);

	if (!len)
		return err_set(err, -EINVAL, "time: missing unit in duration \"%.200s\"", text);
	if (!unit)
		return err_set(err, -EINVAL, "time: unknown unit \"%.*s\" in duration \"%.200s\"",
			       (int)(len < 200 ? len : 200), *rest, text);
	*rest += len;
	*ret_ns = unit->ns;
	return 0;
}

int duration_parse(const char *text, int64_t *ret_ns, struct err *err)
{
	const char *p = text;
	uint64_t sum = 0, unit = 0;
	bool negative = *p == '-';
	struct number number;

	if (*p == '-' || *p == '+')
		p++;
	if (!*p)
		return invalid(text, err);
	if (!strcmp(p, "0"))
		p++;                    /* the one number that needs no unit */
	while (*p) {
		if (!take_number(&p, &number))
			return invalid(text, err);
		if (take_unit(&p, text, &unit, err) < 0)
			return -EINVAL;
		if (!add_units(&sum, &number, unit))
			return invalid(text, err);
	}
	if (!negative && sum == MAX_NS)
		return invalid(text, err);
	*ret_ns = negative ? (int64_t)(0 - sum) : (int64_t)sum;
	return 0;
}

/* A decimal number without trailing zeros; scale is a power of ten up to 1e9. */
static void print_decimal(uint64_t value, uint64_t scale, const char *suffix, char *ret, size_t size)
{
	uint64_t fraction = value % scale;
	int width = 0;

	for (uint64_t s = scale; s > 1; s /= 10)
		width++;
	while (fraction && fraction % 10 == 0) {
		fraction /= 10;
		width--;
	}
	if (fraction)
		snprintf(ret, size, "%" PRIu64 ".%0*" PRIu64 "%s", value / scale, width, fraction, suffix);
	else
		snprintf(ret, size, "%" PRIu64 "%s", value / scale, suffix);
}

void duration_format(int64_t ns, char ret[TIME_TEXT_SIZE])
{
	const uint64_t second = 1000000000, minute = 60 * second;
	uint64_t value = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	const char *sign = ns < 0 ? "-" : "";
	char rest[32];

	if (!ns) {
		snprintf(ret, TIME_TEXT_SIZE, "0s");
		return;
	}
	if (value < second) {
		const struct unit *unit = value < 1000 ? &units[0] : value < 1000000 ? &units[2] : &units[4];

		print_decimal(value, unit->ns, unit->name, rest, sizeof(rest));
		snprintf(ret, TIME_TEXT_SIZE, "%s%s", sign, rest);
		return;
	}
	print_decimal(value % minute, second, "s", rest, sizeof(rest));
	value /= minute;
	if (value >= 60)
		snprintf(ret, TIME_TEXT_SIZE, "%s%" PRIu64 "h%" PRIu64 "m%s", sign, value / 60, value % 60, rest);
	else if (value)
		snprintf(ret, TIME_TEXT_SIZE, "%s%" PRIu64 "m%s", sign, value, rest);
	else
		snprintf(ret, TIME_TEXT_SIZE, "%s%s", sign, rest);
}
