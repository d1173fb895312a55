#ifndef EASEL_RUNNER_WEIGHTS_PRIVATE_H
#define EASEL_RUNNER_WEIGHTS_PRIVATE_H

#include "common/buf.h"
#include "common/safetensors.h"
#include "runner/weights.h"

/* How a tensor's elements lie on the device. */
enum layout {
	LAYOUT_STORED,
	LAYOUT_TAPS_FIRST,                      /* [out, in, 9] -> [9, out, in] */
};

/* One tensor that a model file wants on the device. */
struct claim {
	struct weight *ret;
	size_t source;                          /* index */
	enum layout layout;
	enum weights_part part;
	bool int8;                              /* made QUANT_INT8_ROWS while loading */
};

/* Rows of a claimed matrix, placed when that is. */
struct view {
	struct weight *ret;
	const struct weight *matrix;
	uint32_t row0;
};

struct blob {
	struct safetensors st;
	char digest[DIGEST_SIZE];
};

struct weights {
	struct weights_source *sources;         /* sorted by name from the first component on */
	size_t n_sources, sources_size;
	struct claim *claims;
	size_t n_claims, claims_size;
	struct view *views;
	size_t n_views, views_size;
	struct blob *blobs;                     /* of weights_open() */
	size_t n_blobs;
	struct vk_buffer **buffers;             /* of weights_load() */
	size_t n_buffers;
	bool loaded[WEIGHTS_PARTS];
	enum weights_part part;                 /* of what is bound next */
	const char *component, *optional_prefix;
	struct buf problems;                    /* "; " between them, as many as fit a sentence */
	size_t n_problems, n_listed;
	bool no_memory;
};

uint64_t weights_int8_bytes(const struct weights_source *s);     /* codes and scales */

static inline uint64_t claim_bytes(const struct weights *w, const struct claim *c)
{
	const struct weights_source *s = &w->sources[c->source];

	return c->int8 ? weights_int8_bytes(s) : s->bytes;
}

/* Makes the rows of ret, whose place is known, out of a source that then stays unread. */
int weights_int8_make(const struct weights_source *s, struct weight *ret, unsigned char *pool, struct err *err);

#endif
