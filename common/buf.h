#ifndef EASEL_COMMON_BUF_H
#define EASEL_COMMON_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Growable bytes with a hard maximum. Failure (no memory, above the maximum) is
 * sticky: further appends do nothing, buf_failed() tells. data is always
 * NUL-terminated beyond len once something was appended.
 */
struct buf {
	char *data;
	size_t len, size, max;
	bool failed;
};

#define BUF_INIT(maximum) { .max = (maximum) }

void buf_init(struct buf *b, size_t max);
void buf_finish(struct buf *b);                      /* frees, leaves an empty buf */
void buf_append(struct buf *b, const void *data, size_t len);
void buf_puts(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *format, va_list ap);
void buf_consume(struct buf *b, size_t len);         /* drops from the front */
/* Hands the bytes (NUL-terminated, the caller's to free) over; NULL when failed. */
char *buf_take(struct buf *b, size_t *ret_len);
static inline bool buf_failed(const struct buf *b) { return b->failed; }

#endif
