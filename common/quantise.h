#ifndef EASEL_COMMON_QUANTISE_H
#define EASEL_COMMON_QUANTISE_H

#include "common/err.h"

/* What --quantize and the member "quantize" may say, in any case. */

/*
 * The form that a word stands for: "int8", "int4", "mxfp8", "mxfp4" or "nvfp4", a literal.
 * fp8 has always meant int8 to those who ask for it. NULL for every other word.
 */
const char *quantise_form(const char *word);
/* -EINVAL with the words there are. NULL and "": nothing is said, which is fine. */
int quantise_check(const char *word, struct err *err);

#endif
