#ifndef EASEL_CLI_TABLE_H
#define EASEL_CLI_TABLE_H

#include <stdio.h>

/*
 * Rows of text in aligned columns: every cell padded to its column and followed by
 * four blanks. Running out of memory is noticed when printing.
 */
struct table {
	char **cells;                   /* n_rows * n_columns, owned; NULL: empty */
	size_t n_columns, n_rows, size;
	int failed;
};

#define TABLE_INIT(columns) { .n_columns = (columns) }

/*
 * A new row of n_columns texts; NULL is an empty cell. Texts come from servers and files:
 * control characters do not reach the terminal.
 */
void table_row(struct table *t, const char *const *cells);
void table_pair(struct table *t, const char *name, const char *value);  /* a row of two */
/* With a header (n_columns texts; NULL: none), each line after indent blanks. */
int table_print(const struct table *t, const char *const *header, unsigned indent, FILE *out);
/* The first cell of every row and nothing else. */
int table_print_first(const struct table *t, FILE *out);
void table_finish(struct table *t);

#endif
