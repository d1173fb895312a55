/*
 * Keys and the line editor: bytes go in, and a small terminal shows what a person would
 * see of what is painted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <utf8proc.h>

#include "cli/editor.h"
#include "common/utf8.h"

#define MAX_ROWS 12
#define MAX_COLUMNS 100
#define WIDE_REST 1u                    /* the right half of a wide character */

/* ---- a terminal ---- */

struct screen {
	unsigned rows, columns, row, column;
	uint32_t cells[MAX_ROWS][MAX_COLUMNS];
};

static void clear_from(struct screen *s, unsigned row, unsigned column)
{
	for (; row < s->rows; row++, column = 0)
		for (; column < s->columns; column++)
			s->cells[row][column] = ' ';
}

static void new_row(struct screen *s)
{
	if (++s->row < s->rows)
		return;
	memmove(s->cells[0], s->cells[1], sizeof s->cells - sizeof s->cells[0]);
	s->row = s->rows - 1;
	clear_from(s, s->row, 0);
}

/* Returns the bytes of an escape sequence that were used. */
static size_t escape(struct screen *s, const char *text)
{
	char *end;
	unsigned n = (unsigned)strtoul(text + 1, &end, 10);

	assert_true(text[0] == '[');
	n = end == text + 1 ? 1 : n;
	if (*end == 'A') {
		assert_true(s->row >= n);
		s->row -= n;
	} else if (*end == 'C') {
		assert_true(s->column + n < s->columns);
		s->column += n;
	} else if (*end == 'D') {
		assert_true(s->column >= n);
		s->column -= n;
	} else if (*end == 'J') {
		clear_from(s, s->row, s->column);
	} else {
		assert_true(!strncmp(text, "[38;5;245m", 10) || !strncmp(text, "[0m", 3));
		return strcspn(text, "m") + 1;
	}
	return (size_t)(end - text) + 1;
}

static void put_code(struct screen *s, uint32_t code)
{
	unsigned width = (unsigned)utf8proc_charwidth((utf8proc_int32_t)code);

	if (width == 0)
		return;
	/* The editor breaks rows itself. */
	assert_true(s->column + width <= s->columns);
	s->cells[s->row][s->column] = code;
	if (width == 2)
		s->cells[s->row][s->column + 1] = WIDE_REST;
	s->column += width;
}

static void write_screen(struct screen *s, const struct buf *out)
{
	const char *text = out->data;
	uint32_t code;
	size_t n;

	assert_false(buf_failed(out));
	for (; (n = utf8_decode(text, strlen(text), &code)); text += n) {
		if (code == '\r')
			s->column = 0;
		else if (code == '\n')
			new_row(s);
		else if (code == 0x1b)
			text += escape(s, text + 1);
		else
			put_code(s, code);
	}
}

/* "row\nrow", no blanks at the ends of rows, nothing below the last. */
static void read_screen(const struct screen *s, char *ret)
{
	size_t n = 0, used = 0;

	for (unsigned row = 0; row < s->rows; row++) {
		for (unsigned column = 0; column < s->columns; column++) {
			if (s->cells[row][column] != WIDE_REST)
				n += utf8_encode(s->cells[row][column], ret + n);
			if (ret[n - 1] != ' ')
				used = n;
		}
		n = used;
		ret[n++] = '\n';
	}
	ret[used] = '\0';
}

/* ---- the editor on it ---- */

static struct history history;
static struct editor editor;
static struct keys keys;
static struct screen screen;

static void begin(unsigned rows, unsigned columns)
{
	keys = (struct keys){ 0 };
	screen = (struct screen){ .rows = rows, .columns = columns };
	clear_from(&screen, 0, 0);
	assert_int_equal(editor_begin(&editor, &history), 0);
}

static void paint(struct screen *s)
{
	struct buf out = BUF_INIT(1 << 20);

	editor_paint(&editor, s->rows, s->columns, &out);
	write_screen(s, &out);
	buf_finish(&out);
}

/* Feeds bytes; returns what the last key meant. */
static enum edit type_bytes(const char *bytes, size_t n)
{
	enum edit edit = EDIT_MORE;
	struct key key;

	for (size_t i = 0; i < n; i++)
		if (keys_feed(&keys, (unsigned char)bytes[i], &key))
			edit = editor_key(&editor, &key);
	return edit;
}

static enum edit type(const char *text)
{
	return type_bytes(text, strlen(text));
}

#define UP "\033[A"
#define DOWN "\033[B"
#define RIGHT "\033[C"
#define LEFT "\033[D"

/* What keys make of an empty line; '|' marks the cursor. */
static const struct row {
	const char *keys, *line;
} rows[] = {
	{ "abc", "abc|" },
	{ "abc\001x", "x|abc" },
	{ "abc\033[Hx\033[Fy", "xabcy|" },
	{ "abc\033OHx\033OFy\033[1~1\033[4~2\033[7~3\033[8~4", "31xabcy24|" },
	{ "abc\002\002x\006y", "axby|c" },
	{ "abc" LEFT LEFT "x" RIGHT "y", "axby|c" },
	{ "abc\001" LEFT "\005" RIGHT, "abc|" },
	{ "abc\177\010", "a|" },
	{ "abc\001\177x", "x|abc" },
	{ "abc\001\033[3~\004", "|c" },
	{ "abc\004\033[3~", "abc|" },
	{ "one two three" LEFT "\013", "one two thre|" },
	{ "one two" LEFT "\025", "|o" },
	{ "one two  \027", "one |" },
	{ "one two  \027\027\027", "|" },
	{ "one two\033\177x", "one x|" },
	{ "one\ntwo\027\027", "|" },
	{ "one two \033b\033bX", "X|one two " },
	{ "one two \001\033fX\033FY", "oneX twoY| " },
	{ "one two\033[1;5DX\001\033[1;3CY", "oneY| Xtwo" },
	{ "a\nb", "a\nb|" },
	{ "é猫\010", "é|" },
	{ "e\xcc\x81x" LEFT LEFT "y", "y|e\xcc\x81x" },
	{ "e\xcc\x81\010", "|" },
	{ "e\xcc\x81\001\004", "|" },
	{ "a\007\t\033x\033[99~\033[Zb", "ab|" },
	{ "a\xff\xc3\x28\xe7\x8c" "b\xc2\x9b\x80", "a(b|" },
	{ "a\033\033[Db", "b|a" },
	{ "\033[200~a\tb\r\nc\rd\ne\r\n\n\033[201~f", "a\tb\nc\nd\ne\n\nf|" },
	{ "\033[200~a\033[Ab\001\033bc\177\033[201~d", "abcd|" },
	{ "\033[200~a\033[201~\001b", "b|a" },
	/* The history: "first", "second\none". */
	{ UP, "second\none|" },
	{ UP UP UP, "first|" },
	{ "x\020\020\016", "second\none|" },
	{ "typed" UP UP DOWN DOWN DOWN "!", "typed!|" },
	{ UP "!" UP DOWN, "second\none|" },
	{ DOWN "a", "a|" },
};

static void test_rows(void **state)
{
	char line[256];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		begin(8, 40);
		assert_int_equal(type(rows[i].keys), EDIT_MORE);
		snprintf(line, sizeof line, "%.*s|%s", (int)editor.at, editor.text.data,
			 editor.text.data + editor.at);
		assert_string_equal(line, rows[i].line);
		editor_finish(&editor);
	}
}

static void test_what_ends_a_line(void **state)
{
	(void)state;
	begin(8, 40);
	assert_int_equal(type("\004"), EDIT_END);
	assert_int_equal(type("\003"), EDIT_INTERRUPT);
	assert_int_equal(type("\032"), EDIT_SUSPEND);
	assert_int_equal(type("\014"), EDIT_CLEAR_SCREEN);
	assert_int_equal(type("x\r"), EDIT_LINE);
	assert_int_equal(type("\033\r"), EDIT_LINE);
	assert_int_equal(type("\033[\003"), EDIT_INTERRUPT);
	assert_int_equal(type("\033[200~pasted\r\003"), EDIT_INTERRUPT);
	assert_int_equal(type("\r"), EDIT_LINE);
	editor_finish(&editor);
}

#define HINT "Describe an image to generate (/help for commands)"

/* What stands on the screen, and the cursor, after keys. */
static const struct view {
	unsigned height, width;
	const char *keys, *text;
	unsigned row, column;
} views[] = {
	{ 4, 60, "", ">>> " HINT, 0, 4 },
	{ 4, 55, "", ">>> " HINT, 0, 4 },
	{ 4, 54, "", ">>>", 0, 4 },
	{ 4, 60, "x\010", ">>> " HINT, 0, 4 },
	{ 4, 60, "x", ">>> x", 0, 5 },
	{ 4, 10, "123456", ">>> 123456", 1, 0 },
	{ 4, 10, "123456\002", ">>> 123456", 0, 9 },
	{ 4, 10, "1234567", ">>> 123456\n7", 1, 1 },
	{ 4, 10, "1234567\001", ">>> 123456\n7", 0, 4 },
	{ 4, 10, "12345猫", ">>> 12345\n猫", 1, 2 },
	{ 4, 10, "12345猫\002", ">>> 12345\n猫", 1, 0 },
	{ 4, 10, "123456\n7", ">>> 123456\n... 7", 1, 5 },
	{ 4, 10, "123456\n7\001\006\006\006\006\006\006", ">>> 123456\n... 7", 0, 9 },
	{ 4, 10, "a\n\nb" UP DOWN, ">>> a\n...\n... b", 2, 5 },
	{ 4, 10, "a\nb\002\002", ">>> a\n... b", 0, 5 },
	{ 3, 10, "1\n2\n3\n4", "... 2\n... 3\n... 4", 2, 5 },
	{ 3, 10, "1\n2\n3\n4\001", ">>> 1\n... 2\n... 3", 0, 4 },
	{ 1, 10, "1234567", "7", 0, 1 },
	{ 1, 10, "123456", "", 0, 0 },
	{ 3, 10, "12345612345678901234567890", "1234567890\n1234567890", 2, 0 },
	{ 3, 10, "123456123456789012345678901", "1234567890\n1234567890\n1", 2, 1 },
	{ 2, 40, "\033[200~a\tb\033[201~", ">>> a b", 0, 7 },
};

static void test_views(void **state)
{
	char text[MAX_ROWS * MAX_COLUMNS * 4];

	(void)state;
	for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
		const struct view *v = &views[i];

		begin(v->height, v->width);
		paint(&screen);
		for (const char *at = v->keys; *at; at++) {
			type_bytes(at, 1);
			paint(&screen);
		}
		read_screen(&screen, text);
		assert_string_equal(text, v->text);
		assert_int_equal(screen.row, v->row);
		assert_int_equal(screen.column, v->column);
		editor_finish(&editor);
	}
}

static void test_leaving(void **state)
{
	struct buf out = BUF_INIT(1 << 16);
	char text[MAX_ROWS * MAX_COLUMNS * 4];

	(void)state;
	begin(4, 60);
	paint(&screen);
	editor_leave(&editor, 4, 60, &out);
	write_screen(&screen, &out);
	read_screen(&screen, text);
	assert_string_equal(text, ">>>");
	assert_true(screen.row == 1 && screen.column == 0);
	buf_finish(&out);
	editor_finish(&editor);

	begin(4, 10);
	type("1234567\001");
	paint(&screen);
	editor_leave(&editor, 4, 10, &out);
	write_screen(&screen, &out);
	read_screen(&screen, text);
	assert_string_equal(text, ">>> 123456\n7");
	assert_true(screen.row == 2 && screen.column == 0);
	buf_finish(&out);
	editor_finish(&editor);
}

/* Whatever is typed, painting step by step shows what painting once would. */
static void test_painting_leaves_nothing_behind(void **state)
{
	static const char *const pieces[] = {
		"a", "b ", "猫", "e\xcc\x81", "\n", "\001", "\005", "\002", "\006", "\010", "\004", "\013",
		"\025", "\027", "\033b", "\033f", UP, DOWN, "\033[200~x\r\ny z\033[201~", "wörd ", "\xf0\x9f\x98\x80",
		"0123456789",
	};
	char text[MAX_ROWS * MAX_COLUMNS * 4], once[sizeof text];

	(void)state;
	srand(1);
	for (int round = 0; round < 300; round++) {
		begin(1 + (unsigned)rand() % 6, 8 + (unsigned)rand() % 60);
		for (int step = 0; step < 60; step++) {
			struct screen fresh = { .rows = screen.rows, .columns = screen.columns };
			size_t drawn;

			type(pieces[(size_t)rand() % (sizeof pieces / sizeof *pieces)]);
			paint(&screen);
			drawn = editor.drawn_row;
			editor.drawn_row = 0;
			clear_from(&fresh, 0, 0);
			paint(&fresh);
			assert_int_equal(editor.drawn_row, drawn);
			assert_int_equal(fresh.column, screen.column);
			assert_true(fresh.row <= screen.row);
			read_screen(&fresh, once);
			read_screen(&screen, text);
			assert_true(editor.at <= editor.text.len);
			assert_true(utf8_valid(editor.text.data, editor.text.len));
			/* A screen that has scrolled may show less, but the same at its end. */
			assert_true(strlen(text) >= strlen(once));
			assert_string_equal(text + strlen(text) - strlen(once), once);
		}
		editor_finish(&editor);
	}
}

/* Random bytes are no key that breaks anything. */
static void test_any_bytes(void **state)
{
	(void)state;
	srand(2);
	for (int round = 0; round < 200; round++) {
		begin(5, 20);
		for (int step = 0; step < 400; step++) {
			char byte = (char)(rand() % 3 ? rand() % 256 : "\033[~;20"[rand() % 7]);

			type_bytes(&byte, 1);
			assert_true(utf8_valid(editor.text.data, editor.text.len));
		}
		paint(&screen);
		editor_finish(&editor);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_what_ends_a_line),
		cmocka_unit_test(test_views),
		cmocka_unit_test(test_leaving),
		cmocka_unit_test(test_painting_leaves_nothing_behind),
		cmocka_unit_test(test_any_bytes),
	};

	history.lines[0] = strdup("first");
	history.lines[1] = strdup("second\none");
	history.n = 2;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
