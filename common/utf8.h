#ifndef EASEL_COMMON_UTF8_H
#define EASEL_COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool utf8_valid(const char *text, size_t len);
/* A NUL-terminated copy with every invalid byte sequence as U+FFFD; the caller frees. */
char *utf8_sanitize(const char *text, size_t len, size_t *ret_len);
/* Decodes one code point (0xFFFD and 1 byte when invalid); returns bytes used, 0 at the end. */
size_t utf8_decode(const char *text, size_t len, uint32_t *ret);
/* Encodes into out (4 bytes of room); returns bytes written. */
size_t utf8_encode(uint32_t code_point, char *out);

#endif
