/*
 * What easel wrote into the XMP of a JPEG (XMP specification, part 3, 1.1.3) or a WebP (its
 * container specification), read without unpacking the picture. Every length is checked
 * before use. Owns nothing.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "cli/xmp_text.h"
#include "common/buf.h"
#include "common/limits.h"

#define BEGIN "<easel:picture>"
#define END "</easel:picture>"

struct span {
	const unsigned char *data;
	size_t len;
};

static bool is_jpeg(struct span file)
{
	return file.len >= 3 && !memcmp(file.data, "\xff\xd8\xff", 3);
}

static bool is_webp(struct span file)
{
	return file.len >= 12 && !memcmp(file.data, "RIFF", 4) && !memcmp(file.data + 8, "WEBP", 4);
}

bool xmp_has_place(const void *file, size_t len)
{
	const struct span all = { file, len };

	return is_jpeg(all) || is_webp(all);
}

/* The APP1 segment of that name, in front of the picture's data. */
static bool find_in_jpeg(struct span file, struct span *ret)
{
	static const char name[] = "http://ns.adobe.com/xap/1.0/";
	size_t at = 2;

	while (at + 4 <= file.len && file.data[at] == 0xff && file.data[at + 1] != 0xda) {
		const size_t len = (size_t)file.data[at + 2] << 8 | file.data[at + 3];
		const struct span body = { file.data + at + 4, len - 2 };

		if (len < 2 || len > file.len - at - 2)
			return false;
		if (file.data[at + 1] == 0xe1 && body.len >= sizeof name &&
		    !memcmp(body.data, name, sizeof name)) {
			*ret = (struct span){ body.data + sizeof name, body.len - sizeof name };
			return true;
		}
		at += 2 + len;
	}
	return false;
}

static bool find_in_webp(struct span file, struct span *ret)
{
	size_t at = 12;

	while (file.len - at >= 8) {
		const unsigned char *head = file.data + at;
		const size_t len = head[4] | (size_t)head[5] << 8 | (size_t)head[6] << 16 |
				   (size_t)head[7] << 24;

		if (len > file.len - at - 8)
			return false;
		if (!memcmp(head, "XMP ", 4)) {
			*ret = (struct span){ head + 8, len };
			return true;
		}
		at += 8 + len;
		if (len % 2 && at < file.len)
			at++;
	}
	return false;
}

/* XML's five names; anything else stands as it is. Returns bytes used. */
static size_t put_letter(const unsigned char *text, size_t len, struct buf *out)
{
	static const struct {
		const char *name, *letter;
	} names[] = {
		{ "&lt;", "<" }, { "&gt;", ">" }, { "&amp;", "&" }, { "&quot;", "\"" }, { "&apos;", "'" },
	};

	for (size_t i = 0; *text == '&' && i < sizeof names / sizeof *names; i++) {
		const size_t n = strlen(names[i].name);

		if (n <= len && !memcmp(text, names[i].name, n)) {
			buf_puts(out, names[i].letter);
			return n;
		}
	}
	buf_append(out, text, 1);
	return 1;
}

int xmp_text_find(const void *file, size_t len, char **ret, struct err *err)
{
	const struct span all = { file, len };
	struct buf text = BUF_INIT(LIMIT_PNG_CHUNK);
	const unsigned char *at, *end;
	struct span xmp = { 0 };

	*ret = NULL;
	if (!(is_jpeg(all) && find_in_jpeg(all, &xmp)) && !(is_webp(all) && find_in_webp(all, &xmp)))
		return 0;
	at = memmem(xmp.data, xmp.len, BEGIN, strlen(BEGIN));
	if (!at)
		return 0;
	at += strlen(BEGIN);
	end = memmem(at, (size_t)(xmp.data + xmp.len - at), END, strlen(END));
	if (!end)
		return 0;
	buf_puts(&text, "");
	while (at < end)
		at += put_letter(at, (size_t)(end - at), &text);
	buf_append(&text, "", 0);
	*ret = buf_take(&text, &len);
	return *ret ? 0 : err_errno(err, ENOMEM, "reading a picture's text");
}
