#ifndef EASEL_COMMON_BASE64_H
#define EASEL_COMMON_BASE64_H

#include <stddef.h>

#include "common/err.h"

/* Bytes that base64_encode() writes for len input bytes, without a NUL. */
size_t base64_size(size_t len);
/* Standard alphabet, padded. Whole groups of 3 may be encoded piecewise. Returns bytes written. */
size_t base64_encode(const void *data, size_t len, char *out);
/* CR and LF are skipped; the caller frees *ret. -EINVAL "illegal base64 data at input byte N". */
int base64_decode(const char *text, size_t len, unsigned char **ret, size_t *ret_len, struct err *err);
/* The same over the text itself, whose first *ret_len bytes it becomes; no text on failure. */
int base64_decode_in_place(char *text, size_t len, size_t *ret_len, struct err *err);

#endif
