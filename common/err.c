/*
 * Errors: a code and one sentence, filled where the cause is known. Owns nothing;
 * any thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/err.h"

#define TEXT_SIZE sizeof(((struct err *)0)->text)

/* Where to cut text to at most n bytes without halving a UTF-8 sequence. */
static size_t cut(const char *text, size_t n)
{
	size_t len = strnlen(text, n + 1);

	if (len <= n)
		return len;
	while (n && ((unsigned char)text[n] & 0xC0) == 0x80)
		n--;
	return n;
}

static void append(char *text, const char *more)
{
	size_t len = strlen(text), n = cut(more, TEXT_SIZE - 1 - len);

	memcpy(text + len, more, n);
	text[len + n] = '\0';
}

static void print(char text[TEXT_SIZE], const char *format, va_list ap)
{
	char whole[2 * TEXT_SIZE];

	vsnprintf(whole, sizeof(whole), format, ap);
	text[0] = '\0';
	append(text, whole);
}

int err_set(struct err *err, int code, const char *format, ...)
{
	char text[TEXT_SIZE];
	va_list ap;

	if (!err)
		return code;
	va_start(ap, format);
	print(text, format, ap);        /* beside err: arguments may point into it */
	va_end(ap);
	memcpy(err->text, text, sizeof(text));
	err->code = code;
	return code;
}

int err_errno(struct err *err, int errno_value, const char *format, ...)
{
	char text[TEXT_SIZE], cause[128];
	va_list ap;

	if (!err)
		return -errno_value;
	va_start(ap, format);
	print(text, format, ap);
	va_end(ap);
	text[cut(text, TEXT_SIZE - sizeof(cause))] = '\0';      /* the cause is never cut off */
	append(text, ": ");
	append(text, strerror_r(errno_value, cause, sizeof(cause)));
	memcpy(err->text, text, sizeof(text));
	err->code = -errno_value;
	return -errno_value;
}

int err_prefix(struct err *err, const char *format, ...)
{
	char text[TEXT_SIZE];
	va_list ap;

	if (!err)
		return -EIO;
	va_start(ap, format);
	print(text, format, ap);
	va_end(ap);
	append(text, ": ");
	append(text, err->text);
	memcpy(err->text, text, sizeof(text));
	return err->code;
}
