/*
 * Multi-head attention with grouped keys, per-head RMS norm and rotary positions, as
 * Qwen3 and the image transformers have it. Adds nodes only; GPU thread.
 */
#include "runner/nn/nn.h"

/* RMS norm over every head of x [n, n_heads * head_dim], then the rotation. */
static T norm_and_rotate(struct graph *g, const struct attention *a, T x, const struct weight *norm,
			 uint32_t n_heads, T rope)
{
	T heads = graph_reshape(g, x, x.rows * n_heads, a->head_dim);

	heads = op_rms_norm(g, heads, norm, a->eps);
	return op_rope(g, graph_reshape(g, heads, x.rows, x.cols), rope, n_heads, a->layout);
}

T nn_attention(struct graph *g, const struct attention *a, T x, T rope)
{
	T q = norm_and_rotate(g, a, nn_linear(g, &a->q, x), &a->norm_q, a->n_heads, rope);
	T k = norm_and_rotate(g, a, nn_linear(g, &a->k, x), &a->norm_k, a->n_kv_heads, rope);
	T v = nn_linear(g, &a->v, x);

	return nn_linear(g, &a->out, op_attention(g, q, k, v, a->n_heads, a->n_kv_heads,
						  a->causal));
}
