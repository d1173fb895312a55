/*
 * RMS norm and layer norm over the last axis. GPU thread.
 */
#include "runner/graph/dispatch.h"
#include "runner/ops/groups.h"
#include "runner/ops/op.h"
#include "runner/ops/weight_access.h"
#include "shaders/shaders.h"

/* Rows up to this many columns get a lane each instead of a subgroup. */
enum { SHORT_ROW = 256 };

struct norm_params {
	float eps;
	uint32_t centered;
};
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
	d->shader = SHADER_norm;
	d->spec[1] = lanes;
	d->spec[2] = params(n)->centered;
	d->spec[3] = w.dtype;
	d->spec[4] = w.mode;
	d->n_spec = 5;
	if (w.dtype)
		d->inputs[1].format = w.format;
	flat_groups(d->groups, ceil_div(rows, limits->subgroup_size / lanes));
}

static const struct op_class norm = {
	.name = "norm", .in_place = true, .row_flops = row_flops, .dispatch = dispatch,
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
