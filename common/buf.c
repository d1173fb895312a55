/*
 * Growable bytes with a hard maximum and a sticky failure. Owns data; one thread.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_finish(struct buf *b)
{
	free(b->data);
	buf_init(b, b->max);
}

/* Room for len more bytes and a NUL. */
static bool reserve(struct buf *b, size_t len)
{
	size_t need, size;
	char *data;

	if (b->failed || len > b->max || b->len > b->max - len || b->len + len == SIZE_MAX) {
		b->failed = true;
		return false;
	}
	need = b->len + len + 1;
	if (need <= b->size)
		return true;
	size = b->size ? b->size : 256;
	while (size < need)
		size = size > SIZE_MAX / 2 ? need : 2 * size;
	data = realloc(b->data, size);
	if (!data) {
		b->failed = true;
		return false;
	}
	b->data = data;
	b->size = size;
	return true;
}

void buf_append(struct buf *b, const void *data, size_t len)
{
	if (!reserve(b, len))
		return;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_puts(struct buf *b, const char *text)
{
	buf_append(b, text, strlen(text));
}

void buf_vprintf(struct buf *b, const char *format, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (n < 0) {
		b->failed = true;
		return;
	}
	if (!reserve(b, (size_t)n))
		return;
	vsnprintf(b->data + b->len, (size_t)n + 1, format, ap);
	b->len += (size_t)n;
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	buf_vprintf(b, format, ap);
	va_end(ap);
}

void buf_consume(struct buf *b, size_t len)
{
	if (!b->len)
		return;
	if (len > b->len)
		len = b->len;
	b->len -= len;
	memmove(b->data, b->data + len, b->len + 1);
}

char *buf_take(struct buf *b, size_t *ret_len)
{
	char *data;

	if (!reserve(b, 0)) {
		buf_finish(b);
		return NULL;
	}
	b->data[b->len] = '\0';
	data = b->data;
	if (ret_len)
		*ret_len = b->len;
	b->data = NULL;
	buf_finish(b);
	return data;
}
