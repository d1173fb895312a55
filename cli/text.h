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

#endif
