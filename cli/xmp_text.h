#ifndef EASEL_CLI_XMP_TEXT_H
#define EASEL_CLI_XMP_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

/* By its first bytes: a JPEG or WebP file. */
bool xmp_has_place(const void *file, size_t len);
/*
 * The text of the element <easel:picture> in such a file's XMP, without markup; the caller
 * frees *ret, which is NULL when there is none. -ENOMEM.
 */
int xmp_text_find(const void *file, size_t len, char **ret, struct err *err);

#endif
