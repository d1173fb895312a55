#ifndef EASEL_RUNNER_TOKENIZER_VOCAB_H
#define EASEL_RUNNER_TOKENIZER_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Byte strings -> token ids. */
struct vocab;

struct vocab *vocab_create(size_t n_expected);  /* NULL without memory */
void vocab_free(struct vocab *v);
/* Copies the bytes; a later id for the same bytes wins. False without memory. */
bool vocab_add(struct vocab *v, const void *bytes, size_t len, uint32_t id);
bool vocab_find(const struct vocab *v, const void *bytes, size_t len, uint32_t *ret_id);
/* The highest id, 0 when empty. */
uint32_t vocab_max_id(const struct vocab *v);

/*
 * Tokens are written with printable characters for bytes ("Ġ" is the space). Turns
 * such text back into its bytes, in place; the new length, or SIZE_MAX when a
 * character stands for no byte.
 */
size_t vocab_unprintable(char *text, size_t len);

#endif
