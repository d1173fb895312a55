#ifndef EASEL_RUNNER_TOKENIZER_SPLIT_H
#define EASEL_RUNNER_TOKENIZER_SPLIT_H

#include <stddef.h>

#include "common/err.h"

/* The pre-tokenizer: cuts text into the pieces that merging must not cross. */
struct split;
struct split_run;                               /* one text being cut */

extern const char split_qwen2[];                /* the pattern of Qwen2 and Qwen3 */

/* -EINVAL for a pattern that cannot be used. */
int split_create(const char *pattern, struct split **ret, struct err *err);
void split_free(struct split *s);

/* text: valid UTF-8 that outlives the run. NULL without memory. */
struct split_run *split_begin(const struct split *s, const char *text, size_t len);
/* 1 and the next piece [*start, *end), 0 at the end, or a negative code. */
int split_next(struct split_run *r, size_t *start, size_t *end, struct err *err);
void split_end(struct split_run *r);

#endif
