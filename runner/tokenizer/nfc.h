#ifndef EASEL_RUNNER_TOKENIZER_NFC_H
#define EASEL_RUNNER_TOKENIZER_NFC_H

#include "common/buf.h"

/*
 * Appends the canonical composition (Unicode NFC) of valid UTF-8 to out. Linear also
 * for a megabyte of combining marks. 0 or -ENOMEM.
 */
int nfc_append(const char *text, size_t len, struct buf *out);

#endif
