/*
 * The blocks that easel show prints. Owns nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/block.h"
#include "cli/text.h"

#define INDENT 4
#define WRAP_COLUMNS 100

void block_print(const char *title, const struct table *t)
{
	if (!t->n_rows)
		return;
	printf("  %s\n", title);
	table_print(t, NULL, INDENT, stdout);
	putchar('\n');
}

/* Bytes of the row that a longer line begins with: up to a blank where there is one. */
static size_t wrap_at(const char *line)
{
	unsigned used;
	size_t most = text_cut(line, WRAP_COLUMNS, &used), at = most;

	if (!line[most])
		return most;
	while (at && line[at] != ' ')
		at--;
	return at ? at : most;
}

static void add_row(struct table *t, const char *line, size_t len)
{
	char *row = strndup(line, len);
	const char *cell = row;

	table_row(t, &cell);
	free(row);
}

static void add_wrapped(struct table *t, const char *line)
{
	while (*line) {
		size_t at = wrap_at(line);

		add_row(t, line, at);
		line += at;
		line += strspn(line, " ");
	}
}

void block_text(const char *title, const char *text, unsigned max_lines)
{
	struct table t = TABLE_INIT(1);
	char *copy = strdup(text), *rest = copy, *line;
	const char *more = "...";
	unsigned n = 0;

	while (rest && n <= max_lines && (line = strsep(&rest, "\n"))) {
		line = text_trim(line);
		if (!*line)
			continue;
		if (n++ < max_lines)
			add_wrapped(&t, line);
		else
			table_row(&t, &more);
	}
	block_print(title, &t);
	table_finish(&t);
	free(copy);
}
