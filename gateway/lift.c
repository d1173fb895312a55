/*
 * Finds strings in JSON without parsing it: quotes, depth, and the names of the
 * outermost members are all that is looked at. The parser judges what is left. Pure
 * functions; they own the small text they make.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/lift.h"

#define NAME_MAX_BYTES 128u             /* of a member's name with its escapes */

struct scan {
	char *text;
	size_t len, at;
	size_t copied;                  /* bytes of text that lift.text stands for */
	size_t depth;
	bool wanted;                    /* inside a member that was named */
};

static size_t escape_length(const char *at, size_t left)
{
	if (left < 2 || !at[1] || !strchr("\"\\/bfnrtu", at[1]))
		return 0;
	if (at[1] != 'u')
		return 2;
	if (left < 6)
		return 0;
	for (int i = 2; i < 6; i++)
		if (!isxdigit((unsigned char)at[i]))
			return 0;
	return 6;
}

/* Position behind the closing quote; 0 when this is no JSON string. */
static size_t string_end(const struct scan *s)
{
	size_t at = s->at + 1, n;

	while (at < s->len) {
		unsigned char c = (unsigned char)s->text[at];

		if (c == '"')
			return at + 1;
		if (c < 0x20)
			return 0;
		n = c == '\\' ? escape_length(s->text + at, s->len - at) : 1;
		if (!n)
			return 0;
		at += n;
	}
	return 0;
}

static bool is_member_name(const struct scan *s, size_t end)
{
	while (end < s->len && strchr(" \t\r\n", s->text[end]) && s->text[end])
		end++;
	return end < s->len && s->text[end] == ':';
}

static bool is_listed(struct piece raw, const char *const *names)
{
	char text[NAME_MAX_BYTES + 1];
	struct piece name = { text, raw.len };

	if (raw.len > NAME_MAX_BYTES)
		return false;
	memcpy(text, raw.data, raw.len);
	lift_unescape(&name);
	text[name.len] = '\0';
	for (; *names; names++)
		if (!strcasecmp(*names, text))
			return true;
	return false;
}

static int lift_one(struct scan *s, struct piece raw, struct lift *ret, struct err *err)
{
	if (ret->n == LIMIT_INPUT_STRINGS)
		return err_set(err, -E2BIG, "more than %u strings", LIMIT_INPUT_STRINGS);
	buf_append(&ret->text, s->text + s->copied, (size_t)(raw.data - s->text) - s->copied);
	buf_printf(&ret->text, "%zu", ret->n);
	s->copied = (size_t)(raw.data - s->text) + raw.len;
	ret->strings[ret->n++] = raw;
	return 0;
}

static int scan_string(struct scan *s, const char *const *names, struct lift *ret, struct err *err)
{
	size_t end = string_end(s);
	struct piece raw = { s->text + s->at + 1, end ? end - s->at - 2 : 0 };
	int r = 0;

	if (!end) {
		s->at = s->len;         /* the parser meets it and says what is wrong */
		return 0;
	}
	if (!is_member_name(s, end))
		r = s->wanted ? lift_one(s, raw, ret, err) : 0;
	else if (s->depth == 1)
		s->wanted = is_listed(raw, names);
	s->at = end;
	return r;
}

int lift_strings(char *text, size_t len, const char *const *names, struct lift *ret,
		 struct err *err)
{
	struct scan s = { .text = text, .len = len };
	int r = 0;

	ret->n = 0;
	buf_init(&ret->text, len + LIMIT_INPUT_STRINGS * sizeof("64"));
	while (r == 0 && s.at < len) {
		char c = text[s.at];

		if (c == '"') {
			r = scan_string(&s, names, ret, err);
			continue;
		}
		s.at++;
		if (c == '{' || c == '[')
			s.depth++;
		else if ((c == '}' || c == ']') && (!s.depth || !--s.depth))
			break;          /* what follows the value means nothing */
	}
	if (r == 0 && ret->n)
		buf_append(&ret->text, text + s.copied, s.at - s.copied);
	if (r == 0 && buf_failed(&ret->text))
		r = err_set(err, -ENOMEM, "out of memory for a request body");
	if (r < 0)
		lift_clear(ret);
	return r;
}

void lift_clear(struct lift *l)
{
	buf_finish(&l->text);
	l->n = 0;
}

struct piece lift_find(const struct lift *l, const char *index)
{
	size_t i = strtoul(index, NULL, 10);

	return i < l->n ? l->strings[i] : (struct piece){ 0 };
}

/* Of the escape at text, checked before: one ASCII character. */
static char unescape_one(const char *text)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *found;
	char digits[5] = "";
	unsigned long value;

	if (text[1] != 'u') {
		found = strchr(from, text[1]);
		return found ? to[found - from] : text[1];
	}
	memcpy(digits, text + 2, 4);
	value = strtoul(digits, NULL, 16);
	return value && value < 0x80 ? (char)value : '?';
}

void lift_unescape(struct piece *p)
{
	const char *from = p->len ? memchr(p->data, '\\', p->len) : NULL, *end;
	char *to;

	if (!from)
		return;
	to = p->data + (from - p->data);
	end = p->data + p->len;
	while (from < end) {
		size_t n = *from == '\\' ? escape_length(from, (size_t)(end - from)) : 1;

		*to++ = n > 1 ? unescape_one(from) : *from;
		from += n ? n : 1;
	}
	p->len = (size_t)(to - p->data);
}
