/*
 * Multi-head attention with grouped keys, per-head RMS norm and rotary positions, as
 * Qwen3 and the image transformers have it. Adds nodes only; GPU thread.
 */
#include "runner/nn/nn.h"

T nn_head_norm(struct graph *g, T x, uint32_t n_heads, const struct weight *norm, float eps)
{
	T heads = graph_reshape(g, x, x.rows * n_heads, n_heads ? x.cols / n_heads : 0);

	return graph_reshape(g, op_rms_norm(g, heads, norm, eps), x.rows, x.cols);
}

static T norm_and_rotate(struct graph *g, const struct attention *a, T x, const struct weight *norm,
			 uint32_t n_heads, T rope)
{
	return op_rope(g, nn_head_norm(g, x, n_heads, norm, a->eps), rope, n_heads, a->layout);
}

T nn_attention(struct graph *g, const struct attention *a, T x, T rope, uint32_t n_keys,
	       unsigned n_sequences)
{
	T q = norm_and_rotate(g, a, nn_linear(g, &a->q, x), &a->norm_q, a->n_heads, rope);
	T keys = graph_rows(g, x, 0, n_keys), key_rope = graph_rows(g, rope, 0, n_keys);
	T k = norm_and_rotate(g, a, nn_linear(g, &a->k, keys), &a->norm_k, a->n_kv_heads, key_rope);
	T v = nn_linear(g, &a->v, keys);

	graph_require(g, n_sequences == 1 || n_keys == x.rows, "attention: keys of several sequences");
	return nn_linear(g, &a->out, op_attention(g, q, k, v, n_sequences, a->n_heads,
						  a->n_kv_heads, a->causal));
}
