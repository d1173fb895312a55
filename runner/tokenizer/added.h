#ifndef EASEL_RUNNER_TOKENIZER_ADDED_H
#define EASEL_RUNNER_TOKENIZER_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Added tokens ("<|im_end|>"): cut out of the text before anything else, leftmost
 * first, the longest of those that start at one place.
 */
struct added;

struct added *added_create(void);               /* NULL without memory */
void added_free(struct added *a);
/* Copies content (not empty); false without memory. All before the first added_find(). */
bool added_add(struct added *a, const char *content, size_t len, uint32_t id);
void added_sort(struct added *a);
uint32_t added_max_id(const struct added *a);
/* The first added token at or after from: its place, length and id. False: none. */
bool added_find(const struct added *a, const char *text, size_t len, size_t from,
		size_t *ret_at, size_t *ret_len, uint32_t *ret_id);

#endif
