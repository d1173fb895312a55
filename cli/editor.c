/*
 * A line being typed: what keys do to it, and how it looks on a terminal. Pure: keys
 * come from keys.c, and console.c writes what is painted. Owns the text.
 *
 * Rows are broken here and never by the terminal, whose ways to do it differ.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/editor.h"
#include "cli/text.h"
#include "common/limits.h"
#include "common/utf8.h"

#define PROMPT_COLUMNS 4u
#define MIN_COLUMNS 8u
#define MORE_PROMPT "... "

int editor_begin(struct editor *e, const struct history *history)
{
	*e = (struct editor){
		.prompt = ">>> ", .hint = "Describe an image to generate (/help for commands)",
		.text = BUF_INIT(LIMIT_PROMPT), .history = history, .entry = history->n,
	};
	buf_puts(&e->text, "");
	return buf_failed(&e->text) ? -ENOMEM : 0;
}

void editor_finish(struct editor *e)
{
	buf_finish(&e->text);
	free(e->draft);
	e->draft = NULL;
}

/* ---- places ---- */

static size_t code_at(const struct editor *e, size_t at, uint32_t *ret)
{
	return utf8_decode(e->text.data + at, e->text.len - at, ret);
}

/* Marks that stand on the character before them; new lines have no width either. */
static bool is_mark(uint32_t code)
{
	return code != '\n' && text_width(code) == 0;
}

static size_t after(const struct editor *e, size_t at)
{
	uint32_t code;
	size_t n;

	at += code_at(e, at, &code);
	while ((n = code_at(e, at, &code)) && is_mark(code))
		at += n;
	return at;
}

static size_t before(const struct editor *e, size_t at)
{
	uint32_t code = 0;

	do {
		while (at && ((unsigned char)e->text.data[--at] & 0xc0) == 0x80)
			;
		code_at(e, at, &code);
	} while (at && is_mark(code));
	return at;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\n' || c == '\t';
}

static size_t word_before(const struct editor *e)
{
	size_t at = e->at;

	while (at && is_blank(e->text.data[at - 1]))
		at--;
	while (at && !is_blank(e->text.data[at - 1]))
		at--;
	return at;
}

static size_t word_after(const struct editor *e)
{
	size_t at = e->at;

	while (at < e->text.len && is_blank(e->text.data[at]))
		at++;
	while (at < e->text.len && !is_blank(e->text.data[at]))
		at++;
	return at;
}

/* ---- changes ---- */

static void erase(struct editor *e, size_t from, size_t to)
{
	struct buf *t = &e->text;

	memmove(t->data + from, t->data + to, t->len - to + 1);
	t->len -= to - from;
	e->at = from;
}

static bool is_control(uint32_t code)
{
	return (code < 0x20 && code != '\n' && code != '\t') || (code >= 0x7f && code < 0xa0);
}

/* What is above the limit is not taken. */
static void insert(struct editor *e, uint32_t code)
{
	struct buf *t = &e->text;
	char bytes[4];
	size_t n = utf8_encode(code, bytes);

	if (is_control(code) || t->len + n > t->max)
		return;
	buf_append(t, bytes, n);
	if (buf_failed(t))
		return;
	memmove(t->data + e->at + n, t->data + e->at, t->len - n - e->at);
	memcpy(t->data + e->at, bytes, n);
	e->at += n;
}

static void set_text(struct editor *e, const char *text)
{
	size_t len = strlen(text), n;
	uint32_t code;

	erase(e, 0, e->text.len);
	for (; (n = utf8_decode(text, len, &code)); text += n, len -= n)
		insert(e, code);
}

/* by: 1 or -1 entries; the line being typed comes after the newest one. */
static void recall(struct editor *e, int by)
{
	const struct history *h = e->history;

	if ((by < 0 && e->entry == 0) || (by > 0 && e->entry == h->n))
		return;
	if (e->entry == h->n) {
		free(e->draft);
		e->draft = strdup(e->text.data);
	}
	e->entry += (size_t)by;
	if (e->entry < h->n)
		set_text(e, h->lines[e->entry]);
	else
		set_text(e, e->draft ? e->draft : "");
}

static void move_or_change(struct editor *e, const struct key *key)
{
	const size_t end = e->text.len;

	switch (key->kind) {
	case KEY_LEFT:
		e->at = before(e, e->at);
		break;
	case KEY_RIGHT:
		e->at = after(e, e->at);
		break;
	case KEY_WORD_LEFT:
		e->at = word_before(e);
		break;
	case KEY_WORD_RIGHT:
		e->at = word_after(e);
		break;
	case KEY_HOME:
		e->at = 0;
		break;
	case KEY_END:
		e->at = end;
		break;
	case KEY_BACKSPACE:
		erase(e, before(e, e->at), e->at);
		break;
	case KEY_DELETE:
	case KEY_END_OF_INPUT:
		erase(e, e->at, after(e, e->at));
		break;
	case KEY_ERASE_WORD:
		erase(e, word_before(e), e->at);
		break;
	case KEY_ERASE_BEFORE:
		erase(e, 0, e->at);
		break;
	case KEY_ERASE_REST:
		erase(e, e->at, end);
		break;
	default:
		break;
	}
}

enum edit editor_key(struct editor *e, const struct key *key)
{
	switch (key->kind) {
	case KEY_TEXT:
		insert(e, key->code);
		return EDIT_MORE;
	case KEY_NEWLINE:
		insert(e, '\n');
		return EDIT_MORE;
	case KEY_UP:
	case KEY_DOWN:
		recall(e, key->kind == KEY_UP ? -1 : 1);
		return EDIT_MORE;
	case KEY_ENTER:
		return EDIT_LINE;
	case KEY_INTERRUPT:
		return EDIT_INTERRUPT;
	case KEY_SUSPEND:
		return EDIT_SUSPEND;
	case KEY_CLEAR_SCREEN:
		return EDIT_CLEAR_SCREEN;
	case KEY_END_OF_INPUT:
		if (!e->text.len)
			return EDIT_END;
		break;
	default:
		break;
	}
	move_or_change(e, key);
	return EDIT_MORE;
}

/* ---- painting ---- */

struct place {
	size_t row;
	unsigned column;
};

/* Where the character goes when the one before it ended at p. */
static struct place place_of(struct place p, uint32_t code, unsigned columns)
{
	if (code != '\n' && p.column + text_width(code) > columns)
		return (struct place){ p.row + 1, 0 };
	return p;
}

static struct place place_behind(struct place p, uint32_t code)
{
	if (code == '\n')
		return (struct place){ p.row + 1, PROMPT_COLUMNS };
	return (struct place){ p.row, p.column + text_width(code) };
}

/* Where the cursor is shown; *ret_end: the place behind the text. */
static struct place find_cursor(const struct editor *e, unsigned columns, struct place *ret_end)
{
	struct place p = { 0, PROMPT_COLUMNS }, cursor = p;
	uint32_t code;
	size_t n;

	for (size_t at = 0; (n = code_at(e, at, &code)); at += n) {
		p = place_of(p, code, columns);
		if (at == e->at)
			cursor = p;
		p = place_behind(p, code);
	}
	/* Behind a full row comes an empty one. */
	p = place_of(p, ' ', columns);
	*ret_end = p;
	if (e->at == e->text.len)
		cursor = p;
	else if (cursor.column >= columns)
		cursor.column = columns - 1;
	return cursor;
}

/* The rows first to last of the text, with breaks between them. */
static void put_rows(const struct editor *e, size_t first, size_t last, unsigned columns,
		     struct buf *out)
{
	struct place p = { 0, PROMPT_COLUMNS };
	size_t at = 0, n;
	uint32_t code;

	if (first == 0)
		buf_puts(out, e->prompt);
	for (; (n = code_at(e, at, &code)) && p.row <= last; at += n) {
		struct place here = place_of(p, code, columns);

		if (here.row > p.row && p.row >= first && here.row <= last)
			buf_puts(out, "\r\n");
		p = place_behind(here, code);
		if (code == '\n' && p.row > first && p.row <= last)
			buf_puts(out, "\r\n");
		if (code == '\n' && p.row >= first && p.row <= last)
			buf_puts(out, MORE_PROMPT);
		else if (code == '\t' && here.row >= first && here.row <= last)
			buf_puts(out, " ");
		else if (code != '\n' && here.row >= first && here.row <= last)
			buf_append(out, e->text.data + at, n);
	}
	if (!n && place_of(p, ' ', columns).row > p.row && p.row >= first && p.row < last)
		buf_puts(out, "\r\n");
}

static void put_hint(const struct editor *e, unsigned columns, struct buf *out)
{
	size_t len = strlen(e->hint);

	if (PROMPT_COLUMNS + len >= columns)
		return;
	buf_printf(out, e->plain ? "%s\033[%zuD" : "\033[38;5;245m%s\033[%zuD\033[0m", e->hint, len);
}

static void paint(struct editor *e, unsigned rows, unsigned columns, struct buf *out, bool hint)
{
	struct place end, cursor;
	size_t first, last;

	columns = columns < MIN_COLUMNS ? MIN_COLUMNS : columns;
	cursor = find_cursor(e, columns, &end);
	first = cursor.row >= rows ? cursor.row - rows + 1 : 0;
	last = end.row < first + rows - 1 ? end.row : first + rows - 1;
	buf_puts(out, "\r");
	if (e->drawn_row)
		buf_printf(out, "\033[%zuA", e->drawn_row);
	buf_puts(out, "\033[J");
	put_rows(e, first, last, columns, out);
	if (last > cursor.row)
		buf_printf(out, "\033[%zuA", last - cursor.row);
	if (e->text.len)
		buf_puts(out, "\r");
	if (e->text.len && cursor.column)
		buf_printf(out, "\033[%uC", cursor.column);
	if (!e->text.len && hint)
		put_hint(e, columns, out);
	e->drawn_row = cursor.row - first;
}

void editor_paint(struct editor *e, unsigned rows, unsigned columns, struct buf *out)
{
	paint(e, rows ? rows : 1, columns, out, true);
}

void editor_leave(struct editor *e, unsigned rows, unsigned columns, struct buf *out)
{
	e->at = e->text.len;
	paint(e, rows ? rows : 1, columns, out, false);
	buf_puts(out, "\r\n");
	e->drawn_row = 0;
}
