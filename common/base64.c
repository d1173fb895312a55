/*
 * base64, standard alphabet with padding. Owns nothing; any thread.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_size(size_t len)
{
	return (len + 2) / 3 * 4;
}

size_t base64_encode(const void *data, size_t len, char *out)
{
	const unsigned char *p = data;
	char *start = out;

	for (; len >= 3; len -= 3, p += 3) {
		*out++ = alphabet[p[0] >> 2];
		*out++ = alphabet[(p[0] & 3) << 4 | p[1] >> 4];
		*out++ = alphabet[(p[1] & 15) << 2 | p[2] >> 6];
		*out++ = alphabet[p[2] & 63];
	}
	if (len) {
		unsigned second = len > 1 ? p[1] : 0;

		*out++ = alphabet[p[0] >> 2];
		*out++ = alphabet[(p[0] & 3) << 4 | second >> 4];
		*out++ = len > 1 ? alphabet[(second & 15) << 2] : '=';
		*out++ = '=';
	}
	return (size_t)(out - start);
}

static int value_of(char c)
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

/* Whether the rest from i on is the padding that a last group of n digits needs. */
static size_t padding_error(const char *text, size_t len, size_t i, unsigned digits)
{
	for (; digits < 4; digits++) {
		i = skip_breaks(text, len, i);
		if (i >= len || text[i] != '=')
			return i;
		i++;
	}
	return skip_breaks(text, len, i);
}

static int illegal(struct err *err, size_t at)
{
	return err_set(err, -EINVAL, "illegal base64 data at input byte %zu", at);
}

int base64_decode(const char *text, size_t len, unsigned char **ret, size_t *ret_len, struct err *err)
{
	unsigned char *out = malloc(len / 4 * 3 + 3);
	uint32_t group = 0;
	unsigned digits = 0;
	size_t at = 0, i, bad;

	if (!out)
		return err_set(err, -ENOMEM, "out of memory for %zu bytes of base64", len);
	for (i = skip_breaks(text, len, 0); i < len && text[i] != '='; i = skip_breaks(text, len, i + 1)) {
		int value = value_of(text[i]);

		if (value < 0) {
			free(out);
			return illegal(err, i);
		}
		group = group << 6 | (uint32_t)value;
		if (++digits < 4)
			continue;
		out[at++] = (unsigned char)(group >> 16);
		out[at++] = (unsigned char)(group >> 8);
		out[at++] = (unsigned char)group;
		group = 0;
		digits = 0;
	}
	bad = digits ? padding_error(text, len, i, digits) : i;
	if (digits == 1 || bad != len) {
		free(out);
		return illegal(err, bad < len ? bad : len);
	}
	if (digits == 2)
		out[at++] = (unsigned char)(group >> 4);
	if (digits == 3) {
		out[at++] = (unsigned char)(group >> 10);
		out[at++] = (unsigned char)(group >> 2);
	}
	*ret = out;
	*ret_len = at;
	return 0;
}
