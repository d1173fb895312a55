/*
 * JSON text -> jansson values, as clients of the reference expect: jansson refuses
 * what they may send (invalid UTF-8, \u0000, lone surrogates, integers above 63 bits),
 * so the text is repaired in one pass first. Pure functions.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/fields.h"
#include "common/file.h"
#include "common/limits.h"
#include "common/utf8.h"

#define REPLACEMENT_ESCAPE "\\ufffd"

struct repair {
	const char *text;
	size_t len, at;
	unsigned depth;
	bool cut;                               /* the text ends inside a string */
	struct buf out;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void copy(struct repair *r, size_t len)
{
	buf_append(&r->out, r->text + r->at, len);
	r->at += len;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The value of a \uXXXX at position at, or -1. */
static int unicode_escape(const struct repair *r, size_t at)
{
	int value = 0;

	if (r->len < 6 || at > r->len - 6 || r->text[at] != '\\' || r->text[at + 1] != 'u')
		return -1;
	for (size_t i = at + 2; i < at + 6; i++) {
		int digit = hex_value(r->text[i]);

		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

static void repair_escape(struct repair *r)
{
	int value = unicode_escape(r, r->at), low;

	if (value < 0) {                        /* \n and such; what is malformed, jansson reports */
		copy(r, r->len - r->at < 2 ? r->len - r->at : 2);
		return;
	}
	if (value >= 0xD800 && value < 0xDC00) {
		low = unicode_escape(r, r->at + 6);
		if (low >= 0xDC00 && low < 0xE000) {
			copy(r, 12);
			return;
		}
	}
	if (value == 0 || (value >= 0xD800 && value < 0xE000)) {
		buf_puts(&r->out, REPLACEMENT_ESCAPE);
		r->at += 6;
	} else {
		copy(r, 6);
	}
}

/* From the opening quote to behind the closing one, or to the end. */
static void repair_string(struct repair *r)
{
	copy(r, 1);
	while (r->at < r->len) {
		size_t run = 0, left = r->len - r->at;
		const char *p = r->text + r->at;

		while (run < left && p[run] != '"' && p[run] != '\\')
			run++;
		copy(r, run);
		if (run < left && p[run] == '"') {
			copy(r, 1);
			return;
		}
		if (run < left)
			repair_escape(r);
	}
	r->cut = true;
}

/* Does a run of digits (with its sign) leave int64? */
static bool is_wide_integer(const char *text, size_t len)
{
	char digits[24];

	if (len >= sizeof(digits))
		return true;
	memcpy(digits, text, len);
	digits[len] = '\0';
	errno = 0;
	(void)strtoll(digits, NULL, 10);
	return errno == ERANGE;
}

/* Integers that jansson cannot hold become reals: then their member's type check names them. */
static void repair_number(struct repair *r)
{
	const char *p = r->text + r->at;
	size_t left = r->len - r->at, n = 1;
	bool real = false;

	while (n < left && p[n] && strchr("0123456789+-.eE", p[n]))
		real |= strchr(".eE", p[n++]) != NULL;
	copy(r, n);
	if (!real && n > 18 && is_wide_integer(p, n))
		buf_puts(&r->out, "e0");
}

/* Copies up to the end of the text, or of the first array or object when trailing is true. */
static int repair_all(struct repair *r, bool trailing, struct err *err)
{
	while (r->at < r->len) {
		char c = r->text[r->at];

		if (c == '"') {
			repair_string(r);
			continue;
		}
		if (c == '-' || (c >= '0' && c <= '9')) {
			repair_number(r);
			continue;
		}
		copy(r, 1);
		if ((c == '[' || c == '{') && ++r->depth > LIMIT_JSON_DEPTH)
			return err_set(err, -EINVAL, "nested deeper than %u levels", LIMIT_JSON_DEPTH);
		if ((c == ']' || c == '}') && r->depth && --r->depth == 0 && trailing)
			return 0;
	}
	return 0;
}

static json_t *load(const struct repair *r, bool trailing, struct err *err)
{
	size_t flags = JSON_DECODE_ANY | (trailing ? JSON_DISABLE_EOF_CHECK : 0);
	json_error_t error;
	json_t *value = json_loadb(r->out.data, r->out.len, flags, &error);

	if (value)
		return value;
	if (r->cut || json_error_code(&error) == json_error_premature_end_of_input)
		err_set(err, -EINVAL, "unexpected EOF");
	else
		err_set(err, -EINVAL, "%s at line %d, column %d", error.text, error.line, error.column);
	return NULL;
}

static json_t *parse_valid(const char *text, size_t len, bool trailing, struct err *err)
{
	/* At most a third more: two bytes for 19 digits, or "\ufffd" for its like. */
	struct repair r = { .text = text, .len = len, .out = BUF_INIT(len + len / 3 + 16) };
	json_t *value = NULL;

	if (repair_all(&r, trailing, err) < 0)
		goto out;
	if (buf_failed(&r.out)) {
		err_set(err, -ENOMEM, "out of memory for %zu bytes of JSON", len);
		goto out;
	}
	value = load(&r, trailing, err);
out:
	buf_finish(&r.out);
	return value;
}

json_t *json_parse(const char *text, size_t len, bool trailing, struct err *err)
{
	size_t blanks = 0;
	char *valid;
	json_t *value;

	while (blanks < len && is_blank(text[blanks]))
		blanks++;
	if (blanks == len) {
		err_set(err, -EINVAL, "EOF");
		return NULL;
	}
	if (utf8_valid(text, len))
		return parse_valid(text, len, trailing, err);

	valid = utf8_sanitize(text, len, &len);
	if (!valid) {
		err_set(err, -ENOMEM, "out of memory for %zu bytes of JSON", len);
		return NULL;
	}
	value = parse_valid(valid, len, trailing, err);
	free(valid);
	return value;
}

json_t *json_parse_file(const char *path, size_t max, struct err *err)
{
	json_t *value;
	size_t len;
	char *text;

	if (file_load(path, max, &text, &len, err) < 0)
		return NULL;
	value = json_parse(text, len, false, err);
	if (!value)
		err_prefix(err, "%s", path);
	free(text);
	return value;
}

json_t *text_json(const char *text)
{
	size_t len;
	char *clean = utf8_sanitize(text, strlen(text), &len);
	json_t *value = clean ? json_stringn(clean, len) : NULL;

	free(clean);
	return value;
}
