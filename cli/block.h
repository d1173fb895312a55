#ifndef EASEL_CLI_BLOCK_H
#define EASEL_CLI_BLOCK_H

#include <limits.h>

#include "cli/table.h"

/* Blocks of easel show on stdout: a title, indented rows, an empty line. Nothing if empty. */
void block_print(const char *title, const struct table *t);

#define BLOCK_WHOLE UINT_MAX
/*
 * A text: its lines that are not empty, trimmed and broken at 100 columns, then "..." if
 * there are more than max_lines.
 */
void block_text(const char *title, const char *text, unsigned max_lines);

#endif
