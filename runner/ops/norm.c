/*
 * RMS norm and layer norm over the last axis. GPU thread.
 */
#include "runner/graph/dispatch.h"
#include "runner/ops/groups.h"
#include "runner/ops/host/host_ops.h"
#include "runner/ops/op.h"
#include "runner/ops/params.h"
#include "runner/ops/weight_access.h"
#include "shaders/shaders.h"

/* Rows up to this many columns get a lane each instead of a subgroup. */
enum { SHORT_ROW = 256 };

struct push_norm {
	uint32_t cols, quads;
	float eps;
};

static const struct norm_params *params(const struct node *n)
{
	return (const struct norm_params *)n->params.bytes;
}

static double row_flops(const struct node *n)
{
	return 20.0 * n->out.cols;
}

static void dispatch(const struct node *n, const struct vk_limits *limits, uint32_t row0, uint32_t rows,
		     struct vk_dispatch *d)
{
	const struct weight_access w = weight_access_quads(n->weights[0]);
	const uint32_t lanes = n->out.cols <= SHORT_ROW ? 1 : limits->subgroup_size;
	struct push_norm *p = dispatch_params(d, sizeof *p);

	(void)row0;
	p->cols = n->out.cols;
	p->quads = tensor_stride(n->out) / 4;
	p->eps = params(n)->eps;
	d->shader = params(n)->tail ? SHADER_norm_tail : SHADER_norm;
	d->spec[1] = lanes;
	d->spec[2] = params(n)->centered;
	d->spec[3] = w.dtype;
	d->spec[4] = w.mode;
	d->spec[5] = params(n)->tail;
	d->n_spec = params(n)->tail ? 6 : 5;
	if (w.dtype)
		d->inputs[d->n_inputs - 1].format = w.format;
	flat_groups(d->groups, ceil_div(rows, limits->subgroup_size / lanes));
}

/* The tail that computes the elementwise node, which takes this one's result as operand `which`. */
static enum norm_tail tail_for(const struct node *self, const struct node *consumer, unsigned which)
{
	const T *in = consumer->in;

	if (consumer->op != &elementwise_op)
		return NORM_TAIL_NONE;
	switch (((const struct elementwise_params *)node_params(consumer))->function) {
	case ELEMENTWISE_SCALE1:
		return which == 0 && in[1].rows == 1 && !params(self)->tail ? NORM_TAIL_SCALE1 : NORM_TAIL_NONE;
	case ELEMENTWISE_ADD:
		if (which == 0 && in[1].rows == 1 && params(self)->tail == NORM_TAIL_SCALE1)
			return NORM_TAIL_SCALE1_ADD;
		return which == 1 && in[1].rows == in[0].rows && !params(self)->tail ? NORM_TAIL_ADD : NORM_TAIL_NONE;
	case ELEMENTWISE_GATE_ADD:
		return which == 2 && in[1].rows == 1 && !params(self)->tail ? NORM_TAIL_GATE_ADD : NORM_TAIL_NONE;
	default:
		return NORM_TAIL_NONE;
	}
}

static bool absorb(const struct node *self, const struct node *consumer, unsigned which, enum kernel_set set,
		   struct node *ret)
{
	const enum norm_tail tail = tail_for(self, consumer, which);

	(void)set;
	if (tail == NORM_TAIL_NONE)
		return false;
	*ret = *self;
	((struct norm_params *)ret->params.bytes)->tail = tail;
	if (tail == NORM_TAIL_SCALE1_ADD) {
		ret->in[2] = consumer->in[1];
		return true;
	}
	ret->in[1] = tail == NORM_TAIL_ADD ? consumer->in[0] : consumer->in[1];
	ret->in[2] = tail == NORM_TAIL_SCALE1 ? consumer->in[1] : consumer->in[0];
	return true;
}

static const struct op_class norm = {
	.name = "norm", .in_place = true, .row_flops = row_flops, .absorb = absorb, .kernels = {
		[KERNELS_SHUFFLE] = { .dispatch = dispatch },
		[KERNELS_HOST] = { .run = host_norm },
	},
};

static T add_norm(struct graph *g, T x, const struct weight *w, struct norm_params p)
{
	struct node n = { .op = &norm, .in = { x }, .weights = { w } };

	*(struct norm_params *)n.params.bytes = p;
	return graph_add(g, n, x.rows, x.cols);
}

T op_rms_norm(struct graph *g, T x, const struct weight *w, float eps)
{
	graph_require(g, weight_given(w) && w->rank == 1 && w->dim[0] == x.cols,
		      "rms_norm: the weight must match %u columns", x.cols);
	return add_norm(g, x, w, (struct norm_params){ .eps = eps });
}

T op_layer_norm(struct graph *g, T x, float eps)
{
	return add_norm(g, x, NULL, (struct norm_params){ .eps = eps, .centered = 1 });
}
