/*
 * Group norm of a picture in three nodes: statistics per channel and chunk of rows,
 * their merge per group, and the application. GPU thread.
 */
#include "runner/graph/dispatch.h"
#include "runner/ops/groups.h"
#include "runner/ops/host/host_ops.h"
#include "runner/ops/op.h"
#include "runner/ops/params.h"
#include "runner/ops/weight_access.h"
#include "shaders/shaders.h"

enum { CHUNK = GROUP_NORM_CHUNK, APPLY_ROUNDS = 32 };   /* rows */

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
	const struct group_norm_params *m = (const struct group_norm_params *)n->params.bytes;
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
	d->spec[1] = ((const struct group_norm_params *)n->params.bytes)->silu;
	d->spec[2] = w.dtype;
	d->spec[3] = w.mode;
	d->spec[4] = b.dtype;
	d->spec[5] = b.mode;
	d->n_spec = 6;
	d->inputs[2].format = w.format;
	d->inputs[3].format = b.format;
	row_groups(d->groups, ceil_div(rows, APPLY_ROUNDS), ceil_div(p->quads, limits->subgroup_size));
}

/*
 * A convolution of the host makes a window of its input anyway. Shaders would normalize
 * each pixel again for every tap and block of columns.
 */
static bool absorb_apply(const struct node *self, const struct node *consumer, unsigned which, enum kernel_set set,
			 struct node *ret)
{
	const struct group_norm_params *p = node_params(self);
	const struct conv3x3_params *conv = node_params(consumer);

	if (!kernel_sets[set].host || consumer->op != &conv3x3_op || which != 0 || conv->prologue)
		return false;
	*ret = *consumer;
	ret->in[0] = self->in[0];
	ret->in[1] = self->in[1];
	ret->weights[CONV3X3_NORM_WEIGHT] = self->weights[0];
	ret->weights[CONV3X3_NORM_BIAS] = self->weights[1];
	((struct conv3x3_params *)ret->params.bytes)->prologue = p->silu ? CONV3X3_NORM_SILU : CONV3X3_NORM;
	return true;
}

static const struct op_class partial = {
	.name = "group_norm (partial)", .row_flops = partial_flops, .kernels = {
		[KERNELS_SHUFFLE] = { .dispatch = dispatch_partial },
		[KERNELS_HOST] = { .run = host_group_norm_partial },
	},
};
static const struct op_class merge = {
	.name = "group_norm (merge)", .whole = true, .kernels = {
		[KERNELS_SHUFFLE] = { .dispatch = dispatch_merge },
		[KERNELS_HOST] = { .run = host_group_norm_merge },
	},
};
static const struct op_class apply = {
	.name = "group_norm (apply)", .in_place = true, .row_flops = apply_flops, .absorb = absorb_apply, .kernels = {
		[KERNELS_SHUFFLE] = { .dispatch = dispatch_apply },
		[KERNELS_HOST] = { .run = host_group_norm_apply },
	},
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
	*(struct group_norm_params *)join.params.bytes = (struct group_norm_params){
		.n_rows = x.rows, .groups = groups, .channels = x.cols, .eps = eps,
	};
	last.in[0] = x;
	last.in[1] = graph_add(g, join, 2, x.cols);
	((struct group_norm_params *)last.params.bytes)->silu = silu;
	return graph_add(g, last, x.rows, x.cols);
}
