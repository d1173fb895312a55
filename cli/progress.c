/*
 * The progress display: a list of spinners and bars, and the frames that draw it. A
 * frame is one write, so that terminals never show half of one. Owns its elements.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/bar.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "common/timefmt.h"

#define FRAME_NS 100000000
#define FRAME_MAX (1u << 20)

enum element_kind { SPINNER, STEP_BAR, BYTE_BAR };

struct element {
	enum element_kind kind;
	char *text;                     /* message or label, owned */
	bool stopped;
	uint64_t completed, total;
	int64_t start_ns;
};

void progress_open(struct progress *p, bool quiet)
{
	*p = (struct progress){ .open = true, .quiet = quiet };
	p->terminal = terminal_can_redraw(STDERR_FILENO);
	p->next_ns = time_monotonic_ns() + FRAME_NS;
	buf_init(&p->frame, FRAME_MAX);
}

/* NULL when nothing more can be shown, which harms nobody. */
static struct element *add(struct progress *p, enum element_kind kind, const char *text)
{
	struct element *list = realloc(p->elements, (p->n_elements + 1) * sizeof *list);
	char *copy = strdup(text);

	if (list)
		p->elements = list;
	if (!list || !copy) {
		free(copy);
		return NULL;
	}
	/* It comes from the server. */
	text_make_printable(copy, "");
	list[p->n_elements] = (struct element){ .kind = kind, .text = copy,
						.start_ns = time_monotonic_ns() };
	return &list[p->n_elements++];
}

static struct element *last(struct progress *p)
{
	return p->n_elements ? &p->elements[p->n_elements - 1] : NULL;
}

static void stop_last(struct progress *p)
{
	if (last(p))
		last(p)->stopped = true;
}

static bool shows_text(const struct progress *p)
{
	return p->open && !p->terminal && !p->quiet;
}

/* ---- frames ---- */

static void put_element(struct buf *out, const struct element *e, unsigned columns)
{
	int64_t age_ms = (time_monotonic_ns() - e->start_ns) / 1000000;

	if (e->kind == STEP_BAR)
		bar_steps(out, e->completed, e->total, columns);
	else if (e->kind == BYTE_BAR)
		bar_bytes(out, e->text, e->completed, e->total, age_ms, columns);
	else if (e->stopped)
		bar_message(out, e->text, columns);
	else
		bar_spinner(out, e->text, age_ms, columns);
}

/* A spinner without text keeps an empty line below it, where the bar will stand. */
static unsigned lines_of(const struct element *e)
{
	return e->kind == SPINNER && !*e->text && !e->stopped ? 2 : 1;
}

/* The first element of the last ones that fit the height; *ret_lines: how many lines. */
static unsigned first_visible(const struct progress *p, unsigned rows, unsigned *ret_lines)
{
	unsigned i = p->n_elements;

	*ret_lines = 0;
	while (i > 0 && *ret_lines + lines_of(&p->elements[i - 1]) <= rows)
		*ret_lines += lines_of(&p->elements[--i]);
	return i;
}

static void put_lines(struct progress *p)
{
	unsigned rows, columns, lines;

	terminal_size(STDERR_FILENO, &rows, &columns);
	for (unsigned i = first_visible(p, rows, &lines); i < p->n_elements; i++) {
		put_element(&p->frame, &p->elements[i], columns);
		buf_puts(&p->frame, "\033[K");
		if (lines_of(&p->elements[i]) == 2)
			buf_puts(&p->frame, "\n\033[K");
		if (i + 1 < p->n_elements)
			buf_puts(&p->frame, "\n");
	}
	p->drawn = lines;
}

static void put_frame(struct progress *p)
{
	buf_puts(&p->frame, "\033[?2026h\033[?25l");
	for (unsigned i = 1; i < p->drawn; i++)
		buf_puts(&p->frame, "\033[A");
	buf_puts(&p->frame, "\033[1G");
	put_lines(p);
	buf_puts(&p->frame, "\033[?25h\033[?2026l");
}

/* Nobody is left to tell when stderr fails. */
static void flush_frame(struct progress *p)
{
	if (!buf_failed(&p->frame) && write(STDERR_FILENO, p->frame.data, p->frame.len) < 0)
		p->terminal = false;
	buf_consume(&p->frame, p->frame.len);
}

int progress_timeout(const struct progress *p)
{
	int64_t left = p->next_ns - time_monotonic_ns();

	if (!p->open || !p->terminal || !p->n_elements)
		return -1;
	return left > 0 ? (int)(left / 1000000) + 1 : 0;
}

void progress_draw(struct progress *p)
{
	if (!p->open || !p->terminal)
		return;
	p->next_ns = time_monotonic_ns() + FRAME_NS;
	put_frame(p);
	flush_frame(p);
}

static void wipe(struct progress *p)
{
	buf_puts(&p->frame, "\033[?25l");
	put_frame(p);
	for (unsigned i = 0; i < p->drawn; i++)
		buf_puts(&p->frame, i ? "\033[A\033[2K\033[1G" : "\033[2K\033[1G");
	buf_puts(&p->frame, "\033[?25h");
}

void progress_close(struct progress *p, bool keep)
{
	stop_last(p);
	if (p->open && p->terminal && p->n_elements) {
		if (keep) {
			put_frame(p);
			buf_puts(&p->frame, "\n");
		} else {
			wipe(p);
		}
		flush_frame(p);
	}
	for (unsigned i = 0; i < p->n_elements; i++)
		free(p->elements[i].text);
	free(p->elements);
	buf_finish(&p->frame);
	*p = (struct progress){ 0 };
}

/* ---- what happens ---- */

void progress_spin(struct progress *p, const char *message)
{
	const struct element *e;

	if (!p->open || (last(p) && !strcmp(last(p)->text, message)))
		return;
	stop_last(p);
	e = add(p, SPINNER, message);
	if (e && shows_text(p) && *e->text)
		fprintf(stderr, "%s\n", e->text);
	progress_draw(p);
}

void progress_steps(struct progress *p, uint64_t completed, uint64_t total)
{
	struct element *e = last(p);

	if (!p->open)
		return;
	completed = completed < total ? completed : total;
	if (!e || e->kind != STEP_BAR) {
		stop_last(p);
		e = add(p, STEP_BAR, "");
	}
	if (!e)
		return;
	if (shows_text(p) && completed != e->completed)
		fprintf(stderr, "Generating: step %llu/%llu\n", (unsigned long long)completed,
			(unsigned long long)total);
	e->completed = completed;
	e->total = total;
}

/* A line for every tenth that was passed. */
static void tell_tenth(const struct element *e, uint64_t completed, uint64_t total)
{
	unsigned before = e->total ? bar_percent(e->completed, e->total) / 10 : 0;
	unsigned now = bar_percent(completed, total) / 10;

	if (now != before)
		fprintf(stderr, "%s %u%%\n", e->text, now * 10);
}

/* Several bars may move at once. */
static struct element *find_bar(struct progress *p, const char *label)
{
	for (unsigned i = p->n_elements; i-- > 0;)
		if (p->elements[i].kind == BYTE_BAR && !strcmp(p->elements[i].text, label))
			return &p->elements[i];
	return NULL;
}

void progress_bytes(struct progress *p, const char *label, uint64_t completed, uint64_t total)
{
	struct element *e = p->open ? find_bar(p, label) : NULL;

	if (!p->open)
		return;
	if (!e) {
		stop_last(p);
		e = add(p, BYTE_BAR, label);
	}
	if (!e)
		return;
	if (shows_text(p))
		tell_tenth(e, completed, total);
	e->completed = completed < total ? completed : total;
	e->total = total;
}
