/*
 * Text chunks of PNG files (PNG specification, 11.3.3), read without unpacking the
 * picture. Every length is checked before use. Owns nothing.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "cli/png_text.h"
#include "common/buf.h"
#include "common/limits.h"
#include "common/utf8.h"

#define SIGNATURE "\x89PNG\r\n\x1a\n"
#define SIGNATURE_BYTES 8u
#define AROUND 12u                      /* length, type and CRC of a chunk */

struct chunk {
	const unsigned char *type, *data;
	size_t len;
};

static uint32_t read_u32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The chunk at *at, which moves behind it; false at the end, or where the file is cut off. */
static bool next_chunk(const unsigned char *png, size_t len, size_t *at, struct chunk *ret)
{
	if (len - *at < AROUND)
		return false;
	ret->len = read_u32(png + *at);
	if (ret->len > len - *at - AROUND)
		return false;
	ret->type = png + *at + 4;
	ret->data = png + *at + 8;
	*at += AROUND + ret->len;
	return true;
}

static bool is_type(const struct chunk *c, const char *type)
{
	return !memcmp(c->type, type, 4);
}

static bool is_intact(const struct chunk *c)
{
	uint32_t crc = (uint32_t)crc32(0, c->type, (uInt)(c->len + 4));

	return crc == read_u32(c->data + c->len);
}

/* ---- what chunks hold ---- */

static void put_latin1(const unsigned char *data, size_t len, struct buf *out)
{
	char bytes[4];

	for (size_t i = 0; i < len; i++)
		buf_append(out, bytes, utf8_encode(data[i], bytes));
}

/* What is not UTF-8 becomes U+FFFD. */
static void put_utf8(const unsigned char *data, size_t len, struct buf *out)
{
	const char *text = (const char *)data;
	char bytes[4];
	uint32_t code;

	for (size_t at = 0; at < len;) {
		at += utf8_decode(text + at, len - at, &code);
		buf_append(out, bytes, utf8_encode(code, bytes));
	}
}

/* zlib's stream, at most as much of it as out holds. */
static bool inflate_into(const unsigned char *data, size_t len, struct buf *out)
{
	unsigned char part[16384];
	z_stream z = { .next_in = (unsigned char *)(uintptr_t)data, .avail_in = (uInt)len };
	int r = inflateInit(&z);

	if (r != Z_OK)
		return false;
	while (r == Z_OK && !buf_failed(out)) {
		z.next_out = part;
		z.avail_out = sizeof part;
		r = inflate(&z, Z_NO_FLUSH);
		buf_append(out, part, sizeof part - z.avail_out);
	}
	inflateEnd(&z);
	return r == Z_STREAM_END && !buf_failed(out);
}

/* Behind the keyword: text, packed or not, Latin-1 or not. */
static bool put_text(const unsigned char *data, size_t len, bool packed, bool latin1,
		     struct buf *out)
{
	struct buf plain = BUF_INIT(LIMIT_PNG_CHUNK);
	bool good = true;

	if (packed) {
		good = inflate_into(data, len, &plain);
		data = (const unsigned char *)plain.data;
		len = plain.len;
	}
	if (good && latin1)
		put_latin1(data, len, out);
	else if (good)
		put_utf8(data, len, out);
	buf_finish(&plain);
	return good;
}

/* Moves behind the NUL that ends a text; false without one. */
static bool skip_text(const unsigned char **data, size_t *len)
{
	const unsigned char *end = *len ? memchr(*data, 0, *len) : NULL;

	if (!end)
		return false;
	*len -= (size_t)(end + 1 - *data);
	*data = end + 1;
	return true;
}

/* Flag, method, language and translated keyword stand before the text. */
static bool put_international(const unsigned char *data, size_t len, struct buf *out)
{
	bool packed;

	if (len < 2 || data[0] > 1 || (data[0] && data[1]))
		return false;
	packed = data[0];
	data += 2;
	len -= 2;
	return skip_text(&data, &len) && skip_text(&data, &len) &&
	       put_text(data, len, packed, false, out);
}

static bool read_text(const struct chunk *c, size_t keyword_len, struct buf *out)
{
	const unsigned char *data = c->data + keyword_len + 1;
	size_t len = c->len - keyword_len - 1;

	if (!is_intact(c))
		return false;
	if (is_type(c, "iTXt"))
		return put_international(data, len, out);
	if (is_type(c, "tEXt"))
		return put_text(data, len, false, true, out);
	return len && data[0] == 0 && put_text(data + 1, len - 1, true, true, out);
}

static bool has_keyword(const struct chunk *c, const char *keyword)
{
	size_t len = strlen(keyword);

	return (is_type(c, "tEXt") || is_type(c, "zTXt") || is_type(c, "iTXt")) &&
	       c->len > len && !memcmp(c->data, keyword, len + 1);
}

int png_text_find(const void *png, size_t len, const char *keyword, char **ret, struct err *err)
{
	struct buf text = BUF_INIT(LIMIT_PNG_CHUNK);
	size_t at = SIGNATURE_BYTES, n;
	struct chunk c = { 0 };

	*ret = NULL;
	if (len < SIGNATURE_BYTES || memcmp(png, SIGNATURE, SIGNATURE_BYTES))
		return err_set(err, -EINVAL, "not a PNG, JPEG or WebP file");
	do {
		if (!next_chunk(png, len, &at, &c))
			return 0;
	} while (!has_keyword(&c, keyword));
	buf_puts(&text, "");
	if (c.len > LIMIT_PNG_CHUNK || !read_text(&c, strlen(keyword), &text) || buf_failed(&text)) {
		buf_finish(&text);
		return err_set(err, -EINVAL, "its text '%s' is damaged, or longer than %u bytes",
			       keyword, LIMIT_PNG_CHUNK);
	}
	buf_puts(&text, "");
	*ret = buf_take(&text, &n);
	return *ret ? 0 : err_errno(err, ENOMEM, "reading a picture's text");
}
