#ifndef EASEL_RUNNER_TEXT_ENCODER_TEXT_ENCODER_H
#define EASEL_RUNNER_TEXT_ENCODER_TEXT_ENCODER_H

#include <jansson.h>

#include "runner/graph/graph.h"
#include "runner/weights.h"

/* Token ids -> hidden states. One constant per kind of encoder. */
struct text_encoder_class {
	/*
	 * Reads text_encoder/config.json; errors name the key. layers: whose outputs are read,
	 * ascending, 0 at the end, counted from 1; NULL: the last but one. The caller's to keep.
	 */
	int (*create)(const json_t *config, const uint32_t *layers, void **ret, struct err *err);
	void (*free)(void *self);
	void (*bind)(void *self, struct weights *w);    /* claims its tensors */
	uint32_t (*width)(const void *self);            /* columns of the result */
	uint32_t (*vocab)(const void *self);            /* ids must be below */
	/*
	 * Adds to g the computation for n ids, of which only the first n_seen are seen (the
	 * others are padding, computed too): *ret_embeds and *ret_rope are the inputs that
	 * feed() fills, the result [n, width] the layers' outputs side by side, without the
	 * final norm.
	 */
	T (*build)(const void *self, struct graph *g, uint32_t n, uint32_t n_seen, T *ret_embeds,
		   T *ret_rope);
	/*
	 * Fills the two inputs of build(): embeddings gathered on the host, rotary table.
	 * 0 or -ENOMEM.
	 */
	int (*feed)(const void *self, struct graph *g, T embeds, T rope, const uint32_t *ids,
		    uint32_t n);
};
extern const struct text_encoder_class qwen3;

#endif
