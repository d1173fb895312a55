/*
 * Group norm of a picture in three nodes: statistics per channel and chunk of rows,
 * their merge per group, and the application. GPU thread.
 */
#include "runner/graph/dispatch.h"
#include "runner/ops/groups.h"
#include "runner/ops/op.h"
#include "runner/ops/weight_access.h"
#include "shaders/shaders.h"

enum { CHUNK = 512, APPLY_ROUNDS = 32 };        /* rows */

struct merge_params {
	uint32_t n_rows, groups, channels;
	float eps;
};
struct push_partial {
	uint32_t n_rows, chunk, quads;
};
struct push_merge {
	uint32_t n_rows, chunk, n_chunks, channels, groups, quads;
	float eps;
};
struct push_apply {
	uint32_t channels, quads, rounds;
};

static double partial_flops(const struct node *n)
{
	return 10.0 * CHUNK * n->in[0].cols;
}

static void dispatch_partial(const struct node *n, const struct vk_limits *limits, uint32_t row0, uint32_t rows,
			     struct vk_dispatch *d)
{
	struct push_partial *p = dispatch_params(d, sizeof *p);

	(void)row0;
	*p = (struct push_partial){ n->in[0].rows, CHUNK, tensor_stride(n->in[0]) / 4 };
	d->shader = SHADER_group_norm_partial;
	d->groups[0] = rows;
	d->groups[1] = ceil_div(p->quads, limits->subgroup_size);
	d->groups[2] = 1;
}

static void dispatch_merge(const struct node *n, const struct vk_limits *limits, uint32_t row0, uint32_t rows,
			   struct vk_dispatch *d)
{
	const struct merge_params *m = (const struct merge_params *)n->params.bytes;
	struct push_merge *p = dispatch_params(d, sizeof *p);

	(void)row0;
	(void)rows;
	*p = (struct push_merge){
		.n_rows = m->n_rows, .chunk = CHUNK, .n_chunks = n->in[0].rows, .channels = m->channels,
		.groups = m->groups, .quads = tensor_stride(n->out) / 4, .eps = m->eps,
	};
	d->shader = SHADER_group_norm_merge;
	d->groups[0] = ceil_div(m->groups, limits->subgroup_size);
	d->groups[1] = d->groups[2] = 1;
}

static double apply_flops(const struct node *n)
{
	return 20.0 * n->out.cols;
}

static void dispatch_apply(const struct node *n, const struct vk_limits *limits, uint32_t row0, uint32_t rows,
			   struct vk_dispatch *d)
{
	const struct weight_access w = weight_access_quads(n->weights[0]), b = weight_access_quads(n->weights[1]);
	struct push_apply *p = dispatch_params(d, sizeof *p);

	(void)row0;
	*p = (struct push_apply){ n->out.cols, tensor_stride(n->out) / 4, APPLY_ROUNDS };
	d->shader = SHADER_group_norm_apply;
	d->spec[1] = n->params.bytes[0];
	d->spec[2] = w.dtype;
	d->spec[3] = w.mode;
	d->spec[4] = b.dtype;
	d->spec[5] = b.mode;
	d->n_spec = 6;
	d->inputs[2].format = w.format;
	d->inputs[3].format = b.format;
	row_groups(d->groups, ceil_div(rows, APPLY_ROUNDS), ceil_div(p->quads, limits->subgroup_size));
}

static const struct op_class partial = {
	.name = "group_norm (partial)", .row_flops = partial_flops, .dispatch = dispatch_partial,
};
static const struct op_class merge = {
	.name = "group_norm (merge)", .whole = true, .dispatch = dispatch_merge,
};
static const struct op_class apply = {
	.name = "group_norm (apply)", .in_place = true, .row_flops = apply_flops, .dispatch = dispatch_apply,
};

T op_group_norm(struct graph *g, T x, uint32_t groups, const struct weight *w, const struct weight *b,
		float eps, bool silu)
{
	struct node join = { .op = &merge }, last = { .op = &apply, .weights = { w, b } };

	graph_require(g, groups && x.cols % groups == 0, "group_norm: %u channels in %u groups", x.cols, groups);
	graph_require(g, weight_given(w) && weight_given(b) && w->dim[0] == x.cols && b->dim[0] == x.cols,
		      "group_norm: weight and bias must match %u channels", x.cols);
	join.in[0] = graph_add(g, (struct node){ .op = &partial, .in = { x } }, ceil_div(x.rows, CHUNK),
			       2 * tensor_stride(x));
	*(struct merge_params *)join.params.bytes = (struct merge_params){ x.rows, groups, x.cols, eps };
	last.in[0] = x;
	last.in[1] = graph_add(g, join, 2, x.cols);
	last.params.bytes[0] = silu;
	return graph_add(g, last, x.rows, x.cols);
}
