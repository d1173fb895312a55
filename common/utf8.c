/*
 * UTF-8: checking, decoding, repair. Owns nothing; any thread.
 */
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

#define REPLACEMENT 0xFFFDu

size_t utf8_encode(uint32_t c, char *out)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xC0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3F));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xE0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3F));
		out[2] = (char)(0x80 | (c & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3F));
	out[2] = (char)(0x80 | (c >> 6 & 0x3F));
	out[3] = (char)(0x80 | (c & 0x3F));
	return 4;
}

/* Length of the sequence a lead byte opens, 0 for a byte that cannot lead. */
static size_t sequence_length(unsigned char lead)
{
	if (lead < 0x80)
		return 1;
	if (lead >= 0xC2 && lead <= 0xDF)
		return 2;
	if (lead >= 0xE0 && lead <= 0xEF)
		return 3;
	if (lead >= 0xF0 && lead <= 0xF4)
		return 4;
	return 0;
}

/* Bytes of a well-formed sequence at text, or 0. */
static size_t well_formed(const unsigned char *text, size_t len, uint32_t *ret)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = sequence_length(text[0]);
	uint32_t c;

	if (!n || n > len)
		return 0;
	if (n == 1) {
		*ret = text[0];
		return 1;
	}
	c = text[0] & (0x7Fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((text[i] & 0xC0) != 0x80)
			return 0;
		c = c << 6 | (text[i] & 0x3F);
	}
	if (c < smallest[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
		return 0;
	*ret = c;
	return n;
}

size_t utf8_decode(const char *text, size_t len, uint32_t *ret)
{
	size_t n;

	if (!len)
		return 0;
	n = well_formed((const unsigned char *)text, len, ret);
	if (n)
		return n;
	*ret = REPLACEMENT;
	return 1;
}

bool utf8_valid(const char *text, size_t len)
{
	uint32_t c;

	for (size_t i = 0, n; i < len; i += n) {
		n = well_formed((const unsigned char *)text + i, len - i, &c);
		if (!n)
			return false;
	}
	return true;
}

char *utf8_sanitize(const char *text, size_t len, size_t *ret_len)
{
	char *out;
	size_t at = 0;
	uint32_t c;

	if (len > (SIZE_MAX - 1) / 3)
		return NULL;
	out = malloc(3 * len + 1);
	if (!out)
		return NULL;
	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_decode(text + i, len - i, &c);
		at += utf8_encode(c, out + at);
	}
	out[at] = '\0';
	if (ret_len)
		*ret_len = at;
	return out;
}
