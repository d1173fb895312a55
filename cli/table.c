/*
 * Aligned columns as Ollama's command line prints them, trailing blanks
 * included: scripts cut them by position.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/table.h"
#include "cli/text.h"

#define GAP 4
#define MAX_COLUMNS 64

static size_t width_of(const char *text)
{
	return text ? text_columns(text) : 0;
}

static int grow(struct table *t)
{
	size_t size = t->size ? t->size * 2 : 16;
	char **cells = reallocarray(t->cells, size, t->n_columns * sizeof *cells);

	if (!cells)
		return -ENOMEM;
	t->cells = cells;
	t->size = size;
	return 0;
}

void table_row(struct table *t, const char *const *cells)
{
	if (t->failed || (t->n_rows == t->size && grow(t) < 0)) {
		t->failed = 1;
		return;
	}
	for (size_t i = 0; i < t->n_columns; i++) {
		char *copy = cells[i] ? strdup(cells[i]) : NULL;

		t->failed |= cells[i] && !copy;
		if (copy)
			text_make_printable(copy, "");
		t->cells[t->n_rows * t->n_columns + i] = copy;
	}
	t->n_rows++;
}

void table_pair(struct table *t, const char *name, const char *value)
{
	const char *const cells[] = { name, value };

	table_row(t, cells);
}

static void put_row(const char *const *cells, const size_t *widths, size_t n, unsigned indent,
		    int last_gap, FILE *out)
{
	fprintf(out, "%*s", (int)indent, "");
	for (size_t i = 0; i < n; i++) {
		int pad = (int)(widths[i] - width_of(cells[i]));

		fprintf(out, "%s%*s", cells[i] ? cells[i] : "", pad + (i + 1 < n ? GAP : last_gap), "");
	}
	fputc('\n', out);
}

static void measure(size_t *widths, const char *const *cells, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (width_of(cells[i]) > widths[i])
			widths[i] = width_of(cells[i]);
}

int table_print(const struct table *t, const char *const *header, unsigned indent, FILE *out)
{
	const char *const *cells = (const char *const *)t->cells;
	size_t widths[MAX_COLUMNS] = { 0 };

	if (t->failed || t->n_columns > MAX_COLUMNS)
		return -ENOMEM;
	if (header)
		measure(widths, header, t->n_columns);
	for (size_t i = 0; i < t->n_rows; i++)
		measure(widths, cells + i * t->n_columns, t->n_columns);
	if (header)
		put_row(header, widths, t->n_columns, indent, 1, out);
	for (size_t i = 0; i < t->n_rows; i++)
		put_row(cells + i * t->n_columns, widths, t->n_columns, indent, GAP, out);
	return 0;
}

int table_print_first(const struct table *t, FILE *out)
{
	if (t->failed)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_rows; i++)
		fprintf(out, "%s\n", t->cells[i * t->n_columns]);
	return 0;
}

void table_finish(struct table *t)
{
	for (size_t i = 0; i < t->n_rows * t->n_columns; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct table){ 0 };
}
