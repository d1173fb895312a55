#ifndef EASEL_CLI_PNG_TEXT_H
#define EASEL_CLI_PNG_TEXT_H

#include <stddef.h>

#include "common/err.h"

/*
 * The text of the first chunk with that keyword (tEXt, zTXt or iTXt, before or behind the
 * picture) as UTF-8, at most LIMIT_PNG_CHUNK bytes; the caller frees *ret. *ret is NULL when
 * there is none. -EINVAL for what is no PNG, for a damaged chunk of that keyword, and for a
 * text above the limit.
 */
int png_text_find(const void *png, size_t len, const char *keyword, char **ret, struct err *err);

#endif
