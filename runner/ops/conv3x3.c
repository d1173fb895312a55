/*
 * 3x3 convolution with a zero border: of the input's size, over an input read at twice
 * its size, or every second place of it. GPU thread.
 */
#include "runner/ops/gemm.h"
#include "runner/ops/host/host_ops.h"
#include "runner/ops/op.h"
#include "runner/ops/params.h"
#include "runner/ops/weight_access.h"
#include "shaders/shaders.h"

enum { TAPS = 9 };

struct push_conv3x3 {
	uint32_t height, width, n, c, shift, stride, x_stride, w_stride, y_stride;
};

static const struct conv3x3_params *params(const struct node *n)
{
	return (const struct conv3x3_params *)n->params.bytes;
}

static double row_flops(const struct node *n)
{
	return 2.0 * TAPS * n->out.cols * n->in[0].cols;
}

static void dispatch(const struct node *n, const struct vk_limits *limits, enum gemm_form form, uint32_t rows,
		     struct vk_dispatch *d)
{
	static const unsigned shaders[GEMM_FORMS] = GEMM_SHADERS(conv3x3);
	struct push_conv3x3 *p = dispatch_params(d, sizeof *p);

	d->shader = shaders[form];
	p->height = params(n)->height;
	p->width = params(n)->width;
	p->shift = params(n)->shift;
	p->stride = params(n)->stride;
	p->n = n->out.cols;
	p->c = n->in[0].cols;
	p->x_stride = tensor_stride(n->in[0]) / 4;
	p->y_stride = tensor_stride(n->out);
	p->w_stride = gemm_dispatch(n, limits, form, rows, n->out.cols, d);
}

GEMM_DISPATCHES(dispatch)

const struct op_class conv3x3_op = {
	.name = "conv3x3", .row_multiple = GEMM_ROWS_MAX, .row_flops = row_flops, .kernels = {
		GEMM_KERNELS(dispatch),
		[KERNELS_HOST] = { .run = host_conv3x3 },
	},
};

T op_conv3x3(struct graph *g, T x, uint32_t h, uint32_t w, enum conv_size size,
	     const struct weight *weight, const struct weight *bias)
{
	struct node n = { .op = &conv3x3_op, .in = { x }, .weights = { weight, bias } };
	struct conv3x3_params *p = (struct conv3x3_params *)n.params.bytes;

	graph_require(g, (uint64_t)h * w == x.rows, "conv3x3: %u rows are no picture of %u x %u", x.rows, w, h);
	graph_require(g, weight_given(weight) && weight->rank == 3 && weight->dim[0] == TAPS &&
		      weight->dim[2] == x.cols, "conv3x3: the kernel does not match %u channels", x.cols);
	graph_require(g, !weight || !weight->taps_last || graph_on_host(g), "conv3x3: the kernel lies as hosts want it");
	graph_require(g, weight_given(bias) && weight && bias->dim[0] == weight->dim[1],
		      "conv3x3: the bias must match the output channels");
	graph_require(g, size != CONV_HALF || (h % 2 == 0 && w % 2 == 0), "conv3x3: %u x %u cannot be halved", w, h);
	p->shift = size == CONV_DOUBLE;
	p->stride = size == CONV_HALF ? 2 : 1;
	p->height = (h << p->shift) / p->stride;
	p->width = (w << p->shift) / p->stride;
	return graph_add(g, n, p->height * p->width, weight ? weight->dim[1] : 0);
}
