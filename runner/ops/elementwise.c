/*
 * Element by element functions, one kernel for all, and the copies made with it.
 * GPU thread.
 */
#include "runner/graph/dispatch.h"
#include "runner/ops/groups.h"
#include "runner/ops/host/host_ops.h"
#include "runner/ops/op.h"
#include "runner/ops/params.h"
#include "runner/ops/weight_access.h"
#include "shaders/shaders.h"

enum { ROUNDS = 8 };    /* texels a lane */

struct push_elementwise {
	uint32_t quads;
};
struct push_fill {
	uint32_t cols, quads;
};

static double row_flops(const struct node *n)
{
	return 20.0 * n->out.cols;
}

static void dispatch(const struct node *n, const struct vk_limits *limits, uint32_t row0, uint32_t rows,
		     struct vk_dispatch *d)
{
	struct push_elementwise *p = dispatch_params(d, sizeof *p);

	(void)row0;
	p->quads = tensor_stride(n->out) / 4;
	d->shader = SHADER_elementwise;
	d->spec[1] = ((const struct elementwise_params *)n->params.bytes)->function;
	d->spec[2] = n->in[1].id && n->in[1].rows == 1 && n->in[0].rows != 1;
	d->spec[3] = ROUNDS;
	d->n_spec = 4;
	flat_groups(d->groups, ceil_div((uint64_t)rows * p->quads, limits->subgroup_size * ROUNDS));
}

const struct op_class elementwise_op = {
	.name = "elementwise", .in_place = true, .row_flops = row_flops, .kernels = {
		[KERNELS_SHUFFLE] = { .dispatch = dispatch },
		[KERNELS_HOST] = { .run = host_elementwise },
	},
};

static struct node elementwise_node(enum elementwise_function f, T a, T b, T c)
{
	struct node n = { .op = &elementwise_op, .in = { a, b, c } };

	((struct elementwise_params *)n.params.bytes)->function = f;
	return n;
}

static const T none;

static T binary(struct graph *g, enum elementwise_function f, T a, T b, T c)
{
	graph_require(g, a.cols == b.cols && (b.rows == a.rows || b.rows == 1),
		      "elementwise: %u x %u does not go with %u x %u", b.rows, b.cols, a.rows, a.cols);
	return graph_add(g, elementwise_node(f, a, b, c), a.rows, a.cols);
}

T op_add(struct graph *g, T a, T b)
{
	return binary(g, ELEMENTWISE_ADD, a, b, none);
}

T op_scale1(struct graph *g, T x, T scale)
{
	return binary(g, ELEMENTWISE_SCALE1, x, scale, none);
}

static T gated(struct graph *g, enum elementwise_function f, T x, T gate, T h)
{
	graph_require(g, h.rows == x.rows && h.cols == x.cols, "gate: x and h differ in shape");
	return binary(g, f, x, gate, h);
}

T op_gate_add(struct graph *g, T x, T gate, T h)
{
	return gated(g, ELEMENTWISE_GATE_ADD, x, gate, h);
}

T op_mul_add(struct graph *g, T x, T gate, T h)
{
	return gated(g, ELEMENTWISE_MUL_ADD, x, gate, h);
}

T op_swiglu(struct graph *g, T a, T b)
{
	graph_require(g, a.rows == b.rows, "swiglu: a and b differ in shape");
	return binary(g, ELEMENTWISE_SWIGLU, a, b, none);
}

T op_silu(struct graph *g, T x)
{
	return graph_add(g, elementwise_node(ELEMENTWISE_SILU, x, none, none), x.rows, x.cols);
}

static void copy_into(struct graph *g, T x, T target, uint32_t row0)
{
	graph_add_into(g, elementwise_node(ELEMENTWISE_COPY, x, none, none), target, row0, x.rows);
}

T op_concat_rows(struct graph *g, T a, T b)
{
	T y;

	graph_require(g, a.cols == b.cols, "concat_rows: %u and %u columns", a.cols, b.cols);
	y = graph_tensor(g, a.rows + b.rows, a.cols);
	copy_into(g, a, y, 0);
	copy_into(g, b, y, a.rows);
	return y;
}

struct push_copy_cols {
	uint32_t quads, x_quads, quad0;
};

static void dispatch_copy_cols(const struct node *n, const struct vk_limits *limits, uint32_t row0,
			       uint32_t rows, struct vk_dispatch *d)
{
	const struct copy_cols_params *c = (const struct copy_cols_params *)n->params.bytes;
	struct push_copy_cols *p = dispatch_params(d, sizeof *p);

	(void)row0;
	p->quads = n->out.cols / 4;
	p->x_quads = n->in[0].cols / 4;
	p->quad0 = c->col0 / 4;
	d->shader = SHADER_copy_cols;
	d->spec[1] = ROUNDS;
	d->n_spec = 2;
	flat_groups(d->groups, ceil_div((uint64_t)rows * p->x_quads, limits->subgroup_size * ROUNDS));
}

static const struct op_class copy_cols = {
	.name = "copy_cols", .row_flops = row_flops, .kernels = {
		[KERNELS_SHUFFLE] = { .dispatch = dispatch_copy_cols },
		[KERNELS_HOST] = { .run = host_copy_cols },
	},
};

T op_concat_cols(struct graph *g, const T *parts, unsigned n)
{
	uint32_t cols = 0;
	unsigned i;
	T y;

	for (i = 0; i < n; i++) {
		graph_require(g, parts[i].rows == parts[0].rows && parts[i].cols % 4 == 0,
			      "concat_cols: %u x %u beside %u rows", parts[i].rows, parts[i].cols,
			      parts[0].rows);
		cols += parts[i].cols;
	}
	y = graph_tensor(g, parts[0].rows, cols);
	for (i = 0, cols = 0; i < n; cols += parts[i++].cols) {
		struct node copy = { .op = &copy_cols, .in = { parts[i] } };

		((struct copy_cols_params *)copy.params.bytes)->col0 = cols;
		graph_add_into(g, copy, y, 0, y.rows);
	}
	return y;
}

static void dispatch_fill(const struct node *n, const struct vk_limits *limits, uint32_t row0, uint32_t rows,
			  struct vk_dispatch *d)
{
	const struct weight_access w = weight_access_quads(n->weights[0]);
	struct push_fill *p = dispatch_params(d, sizeof *p);

	(void)row0;
	*p = (struct push_fill){ n->out.cols, tensor_stride(n->out) / 4 };
	d->shader = SHADER_fill_rows;
	d->spec[1] = w.dtype;
	d->spec[2] = w.mode;
	d->n_spec = 3;
	d->inputs[0].format = w.format;
	d->groups[0] = rows;
	d->groups[1] = ceil_div(p->quads, limits->subgroup_size);
	d->groups[2] = 1;
}

static const struct op_class fill_rows = {
	.name = "fill_rows", .row_flops = row_flops, .kernels = {
		[KERNELS_SHUFFLE] = { .dispatch = dispatch_fill },
		[KERNELS_HOST] = { .run = host_fill_rows },
	},
};

T op_pad_rows(struct graph *g, T x, const struct weight *row, uint32_t n_rows)
{
	T y;

	graph_require(g, n_rows >= x.rows, "pad_rows: %u rows padded to %u", x.rows, n_rows);
	if (n_rows <= x.rows)
		return x;
	graph_require(g, weight_given(row) && row->dim[row->rank - 1] == x.cols,
		      "pad_rows: the row must have %u columns", x.cols);
	y = graph_tensor(g, n_rows, x.cols);
	copy_into(g, x, y, 0);
	graph_add_into(g, (struct node){ .op = &fill_rows, .weights = { row } }, y, x.rows, n_rows - x.rows);
	return y;
}
