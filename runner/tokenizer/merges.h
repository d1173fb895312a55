#ifndef EASEL_RUNNER_TOKENIZER_MERGES_H
#define EASEL_RUNNER_TOKENIZER_MERGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The ranked list of pairs that byte-pair encoding joins. */
struct merges;

struct merges *merges_create(size_t n_expected);        /* NULL without memory */
void merges_free(struct merges *m);
/* left right -> result; ranks count up by the order of the calls, the first of equals stays. */
bool merges_add(struct merges *m, uint32_t left, uint32_t right, uint32_t result);
/*
 * Joins, again and again, the adjacent pair of the lowest rank, leftmost on ties.
 * ids is changed in place. Returns the new count, or SIZE_MAX without memory. Takes
 * O(n log n), so that one run of a megabyte is no trap.
 */
size_t merges_apply(const struct merges *m, uint32_t *ids, size_t n);

#endif
