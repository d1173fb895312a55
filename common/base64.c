/*
 * base64, standard alphabet with padding; decoding is as strict as the reference's
 * and names the byte that is wrong. Pure functions.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_size(size_t len)
{
	return (len + 2) / 3 * 4;
}

static void encode_group(const unsigned char *in, size_t len, char out[4])
{
	uint32_t group = (uint32_t)in[0] << 16 | (len > 1 ? in[1] << 8 : 0) | (len > 2 ? in[2] : 0);

	for (size_t i = 0; i < 4; i++)
		out[i] = i <= len ? alphabet[group >> (18 - 6 * i) & 63] : '=';
}

/* Whole groups by a table of every pair of digits. */
static void encode_groups(const unsigned char *in, size_t n_groups, char *out)
{
	char pairs[64 * 64][2];

	for (size_t i = 0; i < 64 * 64; i++) {
		pairs[i][0] = alphabet[i / 64];
		pairs[i][1] = alphabet[i % 64];
	}
	for (; n_groups; n_groups--, in += 3, out += 4) {
		uint32_t group = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];

		memcpy(out, pairs[group >> 12], 2);
		memcpy(out + 2, pairs[group & 4095], 2);
	}
}

size_t base64_encode(const void *data, size_t len, char *out)
{
	const unsigned char *in = data;
	size_t n = 0, n_groups = len / 3;

	/* A picture, for which making the table pays. */
	if (n_groups > 64 * 64) {
		encode_groups(in, n_groups, out);
		in += 3 * n_groups;
		len -= 3 * n_groups;
		n = 4 * n_groups;
	}
	for (; len >= 3; in += 3, len -= 3, n += 4)
		encode_group(in, 3, out + n);
	if (len) {
		encode_group(in, len, out + n);
		n += 4;
	}
	return n;
}

/* Of a digit its value and 1, of any other byte 0: pictures are long, and a table is fast. */
#define TWO(c, v) [c] = (v) + 1, [(c) + 1] = (v) + 2
#define EIGHT(c, v) TWO(c, v), TWO((c) + 2, (v) + 2), TWO((c) + 4, (v) + 4), TWO((c) + 6, (v) + 6)
static const unsigned char values[256] = {
	EIGHT('A', 0), EIGHT('I', 8), EIGHT('Q', 16), TWO('Y', 24),
	EIGHT('a', 26), EIGHT('i', 34), EIGHT('q', 42), TWO('y', 50),
	EIGHT('0', 52), TWO('8', 60), ['+'] = 63, ['/'] = 64,
};

static int digit_value(char c)
{
	return values[(unsigned char)c] - 1;
}

static unsigned char *put_group(unsigned char *out, uint32_t group)
{
	*out++ = (unsigned char)(group >> 16);
	*out++ = (unsigned char)(group >> 8);
	*out++ = (unsigned char)group;
	return out;
}

/* Position of the next byte that is no line break, from i on. */
static size_t skip_breaks(const char *text, size_t len, size_t i)
{
	while (i < len && (text[i] == '\r' || text[i] == '\n'))
		i++;
	return i;
}

/*
 * The digits end at byte i, n of them in a group of their own. True when the rest is
 * what such a group needs, else *wrong is the byte that is not.
 */
static bool check_end(const char *text, size_t len, size_t i, size_t n, size_t *wrong)
{
	*wrong = i;
	if (i == len) {
		*wrong = len - n;
		return n == 0;
	}
	if (text[i] != '=' || n < 2)
		return false;
	if (n == 2) {
		i = skip_breaks(text, len, i + 1);
		if (i == len)
			*wrong = len;
		if (i == len || text[i] != '=')
			return false;
	}
	*wrong = skip_breaks(text, len, i + 1);
	return *wrong == len;
}

/* Whole groups that stand together; the position behind the last one. */
static size_t decode_groups(const char *text, size_t len, unsigned char **out)
{
	size_t i = 0;

	for (; len - i >= 4; i += 4) {
		int a = digit_value(text[i]), b = digit_value(text[i + 1]),
		    c = digit_value(text[i + 2]), d = digit_value(text[i + 3]);

		if ((a | b | c | d) < 0)
			break;
		*out = put_group(*out, (uint32_t)(a << 18 | b << 12 | c << 6 | d));
	}
	return i;
}

/* The digits up to the first byte that is none; returns its position. */
static size_t decode_digits(const char *text, size_t len, unsigned char *out, size_t *ret_digits)
{
	uint32_t group = 0;
	size_t digits = 0, i = 0, n;
	int value;

	for (;;) {
		if (digits % 4 == 0) {
			n = decode_groups(text + i, len - i, &out);
			digits += n;
			i += n;
		}
		i = skip_breaks(text, len, i);
		value = i < len ? digit_value(text[i]) : -1;
		if (value < 0)
			break;
		group = group << 6 | (uint32_t)value;
		if (++digits % 4 == 0)
			out = put_group(out, group);
		i++;
	}
	group <<= 6 * (4 - digits % 4);
	for (size_t k = 0; k < digits % 4; k++)         /* one byte more than counts */
		*out++ = (unsigned char)(group >> (16 - 8 * k));
	*ret_digits = digits;
	return i;
}

/*
 * out may be the text: a group is written behind its last digit, the end behind all
 * digits, and what check_end() looks at lies further on.
 */
static int decode(const char *text, size_t len, unsigned char *out, size_t *ret_len, struct err *err)
{
	size_t digits, wrong, end = decode_digits(text, len, out, &digits);

	if (!check_end(text, len, end, digits % 4, &wrong))
		return err_set(err, -EINVAL, "illegal base64 data at input byte %zu", wrong);
	*ret_len = digits / 4 * 3 + (digits % 4 ? digits % 4 - 1 : 0);
	return 0;
}

int base64_decode(const char *text, size_t len, unsigned char **ret, size_t *ret_len, struct err *err)
{
	unsigned char *out = malloc(len / 4 * 3 + 4);
	int r;

	if (!out)
		return err_set(err, -ENOMEM, "out of memory for %zu bytes of base64", len);
	r = decode(text, len, out, ret_len, err);
	if (r < 0)
		free(out);
	else
		*ret = out;
	return r;
}

int base64_decode_in_place(char *text, size_t len, size_t *ret_len, struct err *err)
{
	return decode(text, len, (unsigned char *)text, ret_len, err);
}
