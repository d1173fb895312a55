/*
 * Scaled dot-product attention in one pass over the keys. GPU thread.
 */
#include <math.h>

#include "runner/graph/dispatch.h"
#include "runner/ops/groups.h"
#include "runner/ops/host/host_ops.h"
#include "runner/ops/op.h"
#include "runner/ops/params.h"
#include "shaders/shaders.h"

enum { QUERIES = 8, VALUE_QUADS = 4 };  /* a subgroup, most of the time; a lane */

struct push_attention {
	uint32_t nq, nk, quads, heads_per_kv, q_stride, k_stride;
	float scale;
};

static const struct attention_params *params(const struct node *n)
{
	return (const struct attention_params *)n->params.bytes;
}

static double row_flops(const struct node *n)
{
	return 4.0 * n->in[0].cols * n->in[1].rows;
}

static void set_push(const struct node *n, struct vk_dispatch *d)
{
	const struct attention_params *a = params(n);
	const uint32_t head_dim = n->in[0].cols / a->n_heads;
	struct push_attention *p = dispatch_params(d, sizeof *p);

	p->nq = n->in[0].rows;
	p->nk = n->in[1].rows;
	p->quads = head_dim / 4;
	p->heads_per_kv = a->n_heads / a->n_kv_heads;
	p->q_stride = n->in[0].cols / 4;
	p->k_stride = n->in[1].cols / 4;
	p->scale = 1 / sqrtf((float)head_dim);
}

/* Sixteen lanes of a software device hold twice as many as eight. */
static uint32_t shuffle_queries(uint32_t lanes)
{
	return lanes == 2 * QUERIES ? lanes : smaller(QUERIES, lanes);
}

static void dispatch_shuffle(const struct node *n, const struct vk_limits *limits, uint32_t row0, uint32_t rows,
			     struct vk_dispatch *d)
{
	const struct attention_params *a = params(n);
	const uint32_t lanes = limits->subgroup_size, quads = n->in[0].cols / a->n_heads / 4;

	(void)row0;
	set_push(n, d);
	d->shader = SHADER_attention;
	d->spec[1] = shuffle_queries(lanes);
	d->spec[2] = smaller(VALUE_QUADS, ceil_div(quads, lanes));
	d->spec[3] = a->causal;
	d->n_spec = 4;
	d->groups[0] = ceil_div(rows, d->spec[1]);
	d->groups[1] = a->n_heads;
	d->groups[2] = ceil_div(quads, d->spec[2] * lanes);
}

/* Of attention_tile.comp. */
enum { TILE_QUERIES = 32, TILE_ACROSS = 16, TILE_THREADS = 128 };

static void dispatch_tile(const struct node *n, const struct vk_limits *limits, uint32_t row0, uint32_t rows,
			  struct vk_dispatch *d)
{
	const struct attention_params *a = params(n);
	const uint32_t quads = n->in[0].cols / a->n_heads / 4;

	(void)limits;
	(void)row0;
	set_push(n, d);
	d->shader = SHADER_attention_tile;
	d->spec[1] = quads <= TILE_ACROSS ? 1 : quads <= 2 * TILE_ACROSS ? 2 : 4;
	d->spec[3] = a->causal;
	d->spec[8] = TILE_THREADS;
	d->n_spec = 9;
	d->groups[0] = ceil_div(rows, TILE_QUERIES);
	d->groups[1] = a->n_heads;
	d->groups[2] = ceil_div(quads, d->spec[1] * TILE_ACROSS);
}

static const struct op_class attention = {
	.name = "attention", .row_multiple = QUERIES, .row_flops = row_flops, .kernels = {
		[KERNELS_SHUFFLE] = { .dispatch = dispatch_shuffle },
		[KERNELS_TILE] = { .dispatch = dispatch_tile },
		[KERNELS_HOST] = { .run = host_attention },
	},
};

T op_attention(struct graph *g, T q, T k, T v, unsigned n, uint32_t n_heads, uint32_t n_kv_heads,
	       bool causal)
{
	struct node node = { .op = &attention };
	struct attention_params *p = (struct attention_params *)node.params.bytes;
	const uint32_t head_dim = n_heads ? q.cols / n_heads : 0;
	unsigned i;
	T y;

	graph_require(g, head_dim && head_dim % 4 == 0 && head_dim * n_heads == q.cols,
		      "attention: %u columns are no %u heads of a multiple of 4", q.cols, n_heads);
	graph_require(g, n_kv_heads && n_heads % n_kv_heads == 0 && k.cols == head_dim * n_kv_heads,
		      "attention: %u key columns are no %u heads of %u", k.cols, n_kv_heads, head_dim);
	graph_require(g, v.cols == k.cols && v.rows == k.rows, "attention: keys and values differ in shape");
	graph_require(g, !causal || q.rows >= k.rows, "attention: causal with more keys than queries");
	if (!graph_require(g, n && q.rows % n == 0 && k.rows % n == 0,
			   "attention: %u and %u rows are no %u sequences", q.rows, k.rows, n))
		return q;
	*p = (struct attention_params){ n_heads, n_kv_heads, causal };
	y = graph_tensor(g, q.rows, q.cols);
	for (i = 0; i < n; i++) {
		node.in[0] = graph_part(g, q, i, n);
		node.in[1] = graph_part(g, k, i, n);
		node.in[2] = graph_part(g, v, i, n);
		graph_add_into(g, node, y, i * (q.rows / n), q.rows / n);
	}
	return y;
}
