/*
 * y = x W^T + b. GPU thread.
 */
#include "runner/ops/gemm.h"
#include "runner/ops/host/host_ops.h"
#include "runner/ops/op.h"
#include "runner/ops/weight_access.h"
#include "shaders/shaders.h"

struct push_linear {
	uint32_t m, n, k, x_stride, w_stride, y_stride;
	struct push_quant quant;                /* in the variant for it */
};

static double row_flops(const struct node *n)
{
	return 2.0 * n->out.cols * n->in[0].cols;
}

static void dispatch(const struct node *n, const struct vk_limits *limits, enum gemm_form form, uint32_t rows,
		     struct vk_dispatch *d)
{
	static const unsigned shaders[][GEMM_FORMS] = { GEMM_SHADERS(linear), GEMM_QUANT_SHADERS(linear) };
	const bool quantised = weight_quantised(n->weights[0]);
	struct push_linear *p = dispatch_params(d, quantised ? sizeof *p : offsetof(struct push_linear, quant));

	d->shader = shaders[quantised][form];
	if (quantised)
		p->quant = weight_access_quant(n->weights[0]);
	p->m = n->in[0].rows;
	p->n = n->out.cols;
	p->k = n->in[0].cols;
	p->x_stride = tensor_stride(n->in[0]) / 4;
	p->y_stride = tensor_stride(n->out);
	p->w_stride = gemm_dispatch(n, limits, form, rows, n->out.cols, d);
}

GEMM_DISPATCHES(dispatch)

static const struct op_class linear = {
	.name = "linear", .row_multiple = GEMM_ROWS_MAX, .row_flops = row_flops, .quantised = true, .kernels = {
		GEMM_KERNELS(dispatch),
		[KERNELS_HOST] = { .run = host_linear },
		[KERNELS_HOST_BF16] = { .run = host_linear_bf16 },
		[KERNELS_HOST_INT8] = { .run = host_linear_int8 },
	},
};

/* Of rows of a matrix the data is theirs, the scales are the matrix's. */
static bool whole_arrays(const struct weight *w)
{
	struct quant_sizes s;

	if (!weight_quantised(w) || w->rank != 2)
		return true;
	s = quant_sizes(&w->quant, w->quant.row0 + w->dim[0], w->dim[1]);
	return w->bytes == s.row_bytes * w->dim[0] && w->scale.bytes >= s.scale && w->bias.bytes >= s.bias;
}

T op_linear(struct graph *g, T x, const struct weight *w, const struct weight *b)
{
	graph_require(g, weight_given(w) && w->rank == 2 && w->dim[1] == x.cols,
		      "linear: a weight of %u columns for %u inputs", w ? w->dim[1] : 0, x.cols);
	graph_require(g, whole_arrays(w), "linear: the arrays of a %s weight of %u x %u have other sizes",
		      w ? quant_forms[w->quant.format].name : "", w ? w->dim[0] : 0, w ? w->dim[1] : 0);
	graph_require(g, !weight_given(b) || (w && b->dim[0] == w->dim[0]),
		      "linear: the bias must match the weight's rows");
	return graph_add(g, (struct node){ .op = &linear, .in = { x }, .weights = { w, b } }, x.rows,
			 w ? w->dim[0] : 0);
}
