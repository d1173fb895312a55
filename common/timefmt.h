#ifndef EASEL_COMMON_TIMEFMT_H
#define EASEL_COMMON_TIMEFMT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define DURATION_FOREVER INT64_MAX      /* ns */
#define TIME_TEXT_SIZE 64

int64_t time_now_ns(void);              /* Unix time */
int64_t time_monotonic_ns(void);
/* RFC 3339, up to nine fractional digits without trailing zeros; UTC as Z, else local with offset. */
void time_format(int64_t unix_ns, bool utc, char ret[TIME_TEXT_SIZE]);
/* Parses what time_format() writes; -EINVAL. */
int time_parse(const char *text, int64_t *ret_unix_ns, struct err *err);
/*
 * Go durations ("1h30m", "-1m", "0"): ns, negative kept. -EINVAL with Go's text:
 * invalid duration, missing unit, unknown unit.
 */
int duration_parse(const char *text, int64_t *ret_ns, struct err *err);
/* As Go prints it: "10m0s", "1.5s", "0s". */
void duration_format(int64_t ns, char ret[TIME_TEXT_SIZE]);

/* As Ollama's command line prints them. */
void human_bytes(uint64_t n, char *ret, size_t size);           /* "7.7 GB" */
void human_bytes_binary(uint64_t n, char *ret, size_t size);    /* "11.5 GiB" */
void human_count(uint64_t n, char *ret, size_t size);           /* "10.3B" */
void human_time(int64_t unix_ns, int64_t now_ns, char *ret, size_t size);       /* "4 minutes from now" */

#endif
