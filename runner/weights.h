#ifndef EASEL_RUNNER_WEIGHTS_H
#define EASEL_RUNNER_WEIGHTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/dtype.h"
#include "common/err.h"
#include "common/manifest.h"
#include "common/store.h"
#include "runner/graph/graph.h"

/*
 * The tensors of one model and their way onto the device. A model file states what it
 * needs by calls of weights_*() in one bind function; that function runs twice:
 * to check a source before import (no device), and to load. Every missing, odd-shaped
 * or unclaimed tensor is collected and named in one error.
 */
struct weights;

/* Bytes of a mapped file. */
struct weights_array {
	const unsigned char *data;              /* any alignment; NULL: only checking */
	uint64_t bytes;
	const unsigned char *map;               /* page-aligned mapping that data lies in, or NULL */
};

/* A tensor as a source offers it: a store blob or a tensor of a source file. */
struct weights_source {
	char *name;                             /* "component/tensor" */
	enum dtype dtype;                       /* as stored: of a quantised one that of its codes */
	unsigned rank;
	uint64_t shape[8];                      /* in elements, also of a quantised one */
	struct weights_array array;
	struct quant quant;                     /* zeroed: plain */
	struct weights_array scale, bias;       /* of a grouped form */
	char *origin;                           /* digest or file, for messages */
	bool claimed;
};

/* Maps every tensor blob of a manifest. Also installs the names that the SIGBUS message uses. */
int weights_open(const struct store *s, const struct manifest *m, struct weights **ret,
		 struct err *err);
/* A set for checking only: the caller appends what the import plan found. */
struct weights *weights_create(void);
/* Strings are copied. */
int weights_offer(struct weights *w, const struct weights_source *source, struct err *err);
void weights_close(struct vk *vk, struct weights **w);

/* What is loaded together: what captions are made with; what draws; the VAE's encoder, on demand. */
enum weights_part { WEIGHTS_CAPTION, WEIGHTS_PICTURE, WEIGHTS_ENCODER, WEIGHTS_PARTS };
/* What is bound from here on belongs to that part. */
void weights_part(struct weights *w, enum weights_part part);
/*
 * Starts a component ("transformer"): names below are relative to it. An optional
 * leading prefix ("model.") is tried as well when given.
 */
void weights_component(struct weights *w, const char *component, const char *optional_prefix);
/* Claims a tensor of exactly this shape into *ret (rank 0 and an entry in the error when wrong). */
void weights_bind(struct weights *w, struct weight *ret, unsigned rank, const uint32_t *dim,
		  const char *format, ...)
	__attribute__((format(printf, 5, 6)));
/* The [out, in] matrix of an op_linear(), which alone may stay in a quantised form: others are widened or refused. */
void weights_matrix(struct weights *w, struct weight *ret, uint32_t out, uint32_t in,
		    const char *format, ...)
	__attribute__((format(printf, 5, 6)));
#define weights_vector(w, ret, n, ...) \
	weights_bind((w), (ret), 1, (const uint32_t[]){ (n) }, __VA_ARGS__)
/*
 * A [out, in, 3, 3] kernel, rearranged while loading to [9, out, in] (ret->dim as
 * op_conv3x3 wants).
 */
void weights_conv3x3(struct weights *w, struct weight *ret, uint32_t out, uint32_t in,
		     const char *format, ...)
	__attribute__((format(printf, 5, 6)));
/* A [out, in, 1, 1] kernel, bound as the [out, in] matrix it is. */
void weights_conv1x1(struct weights *w, struct weight *ret, uint32_t out, uint32_t in,
		     const char *format, ...)
	__attribute__((format(printf, 5, 6)));
/* Rows of a bound matrix as one of its own; usable once that is loaded. */
void weights_rows(struct weights *w, struct weight *ret, const struct weight *matrix, uint32_t row0,
		  uint32_t rows);
/* Kept on the host (embedding table), in any form: pointer to the mapped source, NULL when wrong. */
const struct weights_source *weights_host(struct weights *w, unsigned rank, const uint32_t *dim,
					  const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* One row, or a whole vector, of such a source as float32; its data must be there. */
void weights_decode(const struct weights_source *s, uint32_t row, float *dst);
/* Whether the component has a tensor whose relative name starts with prefix. */
bool weights_any(const struct weights *w, const char *prefix);
/* Claims every remaining tensor whose relative name starts with prefix: known and unused. */
void weights_ignore(struct weights *w, const char *prefix);

/* After all binds: 0 or -EINVAL with everything that is wrong. */
int weights_check(const struct weights *w, struct err *err);
/*
 * Between weights_check() and weights_load(): the large matrices of text encoder and
 * transformer are to become bytes with a scale a row (QUANT_INT8_ROWS) on the device.
 */
void weights_use_int8_rows(struct weights *w);
/* Before loading, for kernel sets of the host: 3x3 kernels stay as they are stored. */
void weights_use_stored_kernels(struct weights *w);
typedef void (*weights_progress)(void *context, uint64_t completed, uint64_t total);
/*
 * Puts every claimed tensor of a part on the device: imported in place where possible,
 * else uploaded. Nothing to do the second time. Progress, which may be NULL, counts the
 * bytes of this part.
 */
int weights_load(struct weights *w, struct vk *vk, enum weights_part part,
		 weights_progress progress, void *context, struct err *err);
/* Has the kernel read a part from the disk from now on, beside what else is done: a hint. */
void weights_read_ahead(const struct weights *w, enum weights_part part);
uint64_t weights_bytes(const struct weights *w);        /* claimed, device side, all parts */
uint64_t weights_part_bytes(const struct weights *w, enum weights_part part);
/*
 * Whether all mapped files can still be read to their ends: -EIO naming the blob that was
 * cut off since. Reading it would end the process by SIGBUS.
 */
int weights_verify(const struct weights *w, struct err *err);

#endif
