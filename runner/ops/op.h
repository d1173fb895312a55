#ifndef EASEL_RUNNER_OPS_OP_H
#define EASEL_RUNNER_OPS_OP_H

#include "runner/graph/graph.h"

/*
 * Every op. All arithmetic and all activations are float32; weights are read in their
 * stored dtype. x [m, k] means m rows of k columns. A weight of rank 0 (or NULL) where
 * "may be NULL" stands is left out.
 */

/* y [m, n] = x [m, k] * w [n, k]^T + b [n]; b may be NULL. */
T op_linear(struct graph *g, T x, const struct weight *w, const struct weight *b);

enum conv_size {
	CONV_SAME,                              /* h' = h, w' = w; border of 1 all around */
	CONV_DOUBLE,                            /* x is read at twice its size (nearest): h' = 2h, w' = 2w */
	CONV_HALF,                              /* stride 2, border right and below only: h' = h/2, w' = w/2, both even */
};
/*
 * 3x3 convolution with a zero border: x [h*w, c] -> y [h'*w', n].
 * w is [9, n, c] (tap-major; see weights_conv3x3()), b [n].
 */
T op_conv3x3(struct graph *g, T x, uint32_t h, uint32_t w, enum conv_size size,
	     const struct weight *weight, const struct weight *bias);

/*
 * softmax(q k^T / sqrt(head_dim)) v per head, one pass over the keys, no score matrix.
 * q [nq, n_heads*head_dim], k and v [nk, n_kv_heads*head_dim] -> [nq, n_heads*head_dim].
 * Head i reads key head i / (n_heads / n_kv_heads). head_dim % 4 == 0.
 * causal: query i sees keys 0..i; with fewer keys than queries the later queries see all.
 * q, k and v each hold n sequences of equal length, one after the other, that do not see
 * each other.
 */
T op_attention(struct graph *g, T q, T k, T v, unsigned n, uint32_t n_heads, uint32_t n_kv_heads,
	       bool causal);

/* y = x / sqrt(mean(x^2) + eps) * w over the last axis; w [cols]. */
T op_rms_norm(struct graph *g, T x, const struct weight *w, float eps);
/* y = (x - mean) / sqrt(var + eps), biased variance, no affine. */
T op_layer_norm(struct graph *g, T x, float eps);
/*
 * Per group of cols/groups channels over all rows (biased variance), then * w + b;
 * silu: then y * sigmoid(y). x [h*w, c], w and b [c].
 */
T op_group_norm(struct graph *g, T x, uint32_t groups, const struct weight *w, const struct weight *b,
		float eps, bool silu);

enum rope_layout {
	ROPE_INTERLEAVED,                       /* elements 2i, 2i+1 are pair i (image transformers) */
	ROPE_HALVES,                            /* elements i, i + d/2 are pair i (Qwen3) */
};
/*
 * Rotates every head of x [n, n_heads*head_dim]; table [n, head_dim]: cos of pair i at
 * column i, sin at head_dim/2 + i. head_dim % 8 == 0 for HALVES, % 4 == 0 else.
 */
T op_rope(struct graph *g, T x, T table, uint32_t n_heads, enum rope_layout layout);

/* Elementwise; a one-row operand is broadcast over the rows of the other where noted. */
T op_add(struct graph *g, T a, T b);            /* a + b; b may have one row */
T op_scale1(struct graph *g, T x, T scale);     /* (1 + scale) * x; scale may have one row */
T op_gate_add(struct graph *g, T x, T gate, T h);       /* x + tanh(gate) * h; gate has one row */
T op_mul_add(struct graph *g, T x, T gate, T h);        /* x + gate * h; gate may have one row */
T op_swiglu(struct graph *g, T a, T b);         /* silu(a) * b */
T op_silu(struct graph *g, T x);

/* The rows of a, then those of b. */
T op_concat_rows(struct graph *g, T a, T b);
/* The columns of every part side by side; as many rows each, columns multiples of 4. */
T op_concat_cols(struct graph *g, const T *parts, unsigned n);
/* x followed by copies of row [1 or -, cols] (a learned pad token) up to n_rows; n_rows == x.rows: x itself. */
T op_pad_rows(struct graph *g, T x, const struct weight *row, uint32_t n_rows);

#endif
