#ifndef EASEL_COMMON_DIGEST_H
#define EASEL_COMMON_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

/* "sha256:<64 lower-case hex>" and its NUL. */
#define DIGEST_SIZE 72

struct digest;                          /* one SHA-256 being computed (EVP) */

struct digest *digest_begin(void);      /* NULL without memory */
void digest_update(struct digest *d, const void *data, size_t len);
void digest_end(struct digest *d, char ret[DIGEST_SIZE]);       /* and frees */
void digest_abort(struct digest *d);

void digest_bytes(const void *data, size_t len, char ret[DIGEST_SIZE]);
/*
 * Accepts "sha256:" or "sha256-" and 64 hex digits of either case, stores it with
 * a colon in lower case. -EINVAL "invalid digest format".
 */
int digest_parse(const char *text, char ret[DIGEST_SIZE], struct err *err);

#endif
