/*
 * Text from outside: descriptors read to their end, the server's times, and how wide
 * characters are.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utf8proc.h>

#include "cli/text.h"
#include "common/buf.h"
#include "common/timefmt.h"
#include "common/utf8.h"

static int read_into(int fd, const char *what, struct buf *out, struct err *err)
{
	char data[16384];
	ssize_t n;

	while ((n = read(fd, data, sizeof data)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, errno, "reading %s", what);
		buf_append(out, data, (size_t)n);
		if (buf_failed(out))
			return err_set(err, -EMSGSIZE, "%s is larger than %zu bytes", what, out->max);
	}
	return 0;
}

int text_read(int fd, const char *what, size_t max, char **ret, size_t *ret_len, struct err *err)
{
	struct buf text = BUF_INIT(max);
	int r = read_into(fd, what, &text, err);

	if (r < 0) {
		buf_finish(&text);
		return r;
	}
	buf_append(&text, "", 0);
	*ret = buf_take(&text, ret_len);
	return *ret ? 0 : err_errno(err, ENOMEM, "reading %s", what);
}

int64_t text_time(const char *text)
{
	int64_t ns = 0;
	long year = text ? strtol(text, NULL, 10) : 0;

	if (year < 1970)
		return 0;
	if (year > 2200)
		return INT64_MAX;
	return time_parse(text, &ns, NULL) < 0 ? 0 : ns;
}

char *text_trim(char *line)
{
	size_t len;

	while (isspace((unsigned char)*line))
		line++;
	len = strlen(line);
	while (len && isspace((unsigned char)line[len - 1]))
		line[--len] = '\0';
	return line;
}

unsigned text_width(uint32_t code)
{
	return code == '\t' ? 1 : (unsigned)utf8proc_charwidth((utf8proc_int32_t)code);
}

size_t text_cut(const char *text, unsigned columns, unsigned *ret_used)
{
	size_t len = strlen(text), at = 0, n;
	uint32_t code;

	for (*ret_used = 0; (n = utf8_decode(text + at, len - at, &code)); at += n) {
		unsigned width = text_width(code);

		if (width > columns - *ret_used)
			break;
		*ret_used += width;
	}
	return at;
}

size_t text_columns(const char *text)
{
	size_t len = strlen(text), at = 0, columns = 0, n;
	uint32_t code;

	for (; (n = utf8_decode(text + at, len - at, &code)); at += n)
		columns += text_width(code);
	return columns;
}

static bool is_unsafe(uint32_t code, size_t bytes)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code == 0xfffd && bytes == 1);
}

void text_make_printable(char *text, const char *keep)
{
	size_t len = strlen(text), at = 0, n;
	uint32_t code;

	for (; (n = utf8_decode(text + at, len - at, &code)); at += n) {
		if (!is_unsafe(code, n) || (n == 1 && strchr(keep, text[at])))
			continue;
		if (code == '\t' || code == '\n' || code == '\r')
			text[at] = ' ';
		else
			memset(text + at, '?', n);
	}
}
