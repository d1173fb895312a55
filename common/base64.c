/*
 * base64, standard alphabet with padding; decoding is as strict as the reference's
 * and names the byte that is wrong. Pure functions.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

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

size_t base64_encode(const void *data, size_t len, char *out)
{
	const unsigned char *in = data;
	size_t n = 0;

	for (; len >= 3; in += 3, len -= 3, n += 4)
		encode_group(in, 3, out + n);
	if (len) {
		encode_group(in, len, out + n);
		n += 4;
	}
	return n;
}

static int digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
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

/* The digits up to the first byte that is none; returns its position. */
static size_t decode_digits(const char *text, size_t len, unsigned char *out, size_t *ret_digits)
{
	uint32_t group = 0;
	size_t digits = 0, i;
	int value;

	for (i = skip_breaks(text, len, 0); i < len; i = skip_breaks(text, len, i + 1)) {
		value = digit_value(text[i]);
		if (value < 0)
			break;
		group = group << 6 | (uint32_t)value;
		digits++;
		if (digits % 4 == 0)
			for (int shift = 16; shift >= 0; shift -= 8)
				*out++ = (unsigned char)(group >> shift);
	}
	group <<= 6 * (4 - digits % 4);
	for (size_t k = 0; k < digits % 4; k++)         /* one byte more than counts */
		*out++ = (unsigned char)(group >> (16 - 8 * k));
	*ret_digits = digits;
	return i;
}

int base64_decode(const char *text, size_t len, unsigned char **ret, size_t *ret_len, struct err *err)
{
	unsigned char *out = malloc(len / 4 * 3 + 4);
	size_t digits, end, wrong;

	if (!out)
		return err_set(err, -ENOMEM, "out of memory for %zu bytes of base64", len);
	end = decode_digits(text, len, out, &digits);
	if (!check_end(text, len, end, digits % 4, &wrong)) {
		free(out);
		return err_set(err, -EINVAL, "illegal base64 data at input byte %zu", wrong);
	}
	*ret = out;
	*ret_len = digits / 4 * 3 + (digits % 4 ? digits % 4 - 1 : 0);
	return 0;
}
