#ifndef EASEL_CLI_TEXT_H
#define EASEL_CLI_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/*
 * All that fd gives until its end, at most max bytes; what names it in errors. The
 * caller frees *ret.
 */
int text_read(int fd, const char *what, size_t max, char **ret, size_t *ret_len, struct err *err);

/*
 * RFC 3339 -> Unix time in ns; 0 for Go's zero time and for what is no time, and
 * INT64_MAX for what lies beyond int64_t ("for ever" is 292 years ahead).
 */
int64_t text_time(const char *text);

/* A line without blanks around it: cut in place. */
char *text_trim(char *line);

/*
 * In place: '?' for control characters, but for those of keep, and for what is not UTF-8; a
 * blank for a tab or new line.
 */
void text_make_printable(char *text, const char *keep);

/* Columns that a character takes on a terminal; 1 for a tab. */
unsigned text_width(uint32_t code);
/* Columns of a whole text. */
size_t text_columns(const char *text);
/* Bytes of the longest beginning of at most so many columns; *ret_used: its columns. */
size_t text_cut(const char *text, unsigned columns, unsigned *ret_used);

#endif
