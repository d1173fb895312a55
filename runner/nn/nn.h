#ifndef EASEL_RUNNER_NN_NN_H
#define EASEL_RUNNER_NN_NN_H

#include "runner/ops/op.h"

/* Blocks made of ops. */

struct linear {
	struct weight weight;                   /* [out, in] */
	struct weight bias;                     /* [out] or rank 0 */
};
T nn_linear(struct graph *g, const struct linear *l, T x);

struct swiglu {                                 /* down(silu(gate x) * (up x)) */
	struct linear gate, up, down;
};
T nn_swiglu(struct graph *g, const struct swiglu *m, T x);

struct attention {
	struct linear q, k, v, out;
	struct weight norm_q, norm_k;           /* [head_dim], per head, before the rotation */
	uint32_t n_heads, n_kv_heads, head_dim;
	float eps;
	enum rope_layout layout;
	bool causal;
};
/*
 * x [n, dim], rope [n, head_dim] as op_rope() wants it; only the first n_keys rows are
 * seen. Several sequences, as op_attention() takes them, see all of their rows.
 */
T nn_attention(struct graph *g, const struct attention *a, T x, T rope, uint32_t n_keys,
	       unsigned n_sequences);

/* Streams of n sequences each, one after the other, become n sequences of [a ; b]. */
T nn_join(struct graph *g, T a, T b, unsigned n);
/* The other way: rows [row0, row0 + rows) of each of x's n sequences, one after the other. */
T nn_pick(struct graph *g, T x, uint32_t row0, uint32_t rows, unsigned n);
/* n times x. */
T nn_repeat(struct graph *g, T x, unsigned n);

/* How a reference rounds the angles of its rotary tables. */
enum rope_angle {
	ROPE_ANGLE_FLOAT,                       /* all in float32: transformers */
	ROPE_ANGLE_ROUNDED,                     /* in double, then rounded: diffusers' Z-Image */
	ROPE_ANGLE_DOUBLE,                      /* diffusers' FLUX.2 */
};
/*
 * Host: the dim / 2 pairs of one axis into a row of a table for op_rope(), from pair
 * pair0 on; pair i turns by position * theta^(-2i / dim).
 */
void nn_rope_fill(float *row, uint32_t head_dim, uint32_t pair0, uint32_t position, uint32_t dim,
		  double theta, enum rope_angle rounding);

/* Host: a whole row, the pairs of n axes of dims[i] side by side. */
void nn_rope_axes(float *row, uint32_t head_dim, unsigned n, const uint32_t *dims,
		  const uint32_t *position, double theta, enum rope_angle rounding);

/* Host: [cosines, sines] of t * 10000^(-i / half), half of each, rounded as the references do. */
void nn_timestep_fill(float t, uint32_t half, float *ret);

/* RMS norm over every head of x [n, n_heads * head_dim]. */
T nn_head_norm(struct graph *g, T x, uint32_t n_heads, const struct weight *norm, float eps);

#endif
