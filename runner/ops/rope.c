/*
 * Rotary position embedding. GPU thread.
 */
#include "runner/graph/dispatch.h"
#include "runner/ops/groups.h"
#include "runner/ops/host/host_ops.h"
#include "runner/ops/op.h"
#include "runner/ops/params.h"
#include "shaders/shaders.h"

enum { ROUNDS = 8 };    /* texels a lane */

struct push_rope {
	uint32_t quads, row_quads;
};

static double row_flops(const struct node *n)
{
	return 20.0 * n->out.cols;
}

static void dispatch(const struct node *n, const struct vk_limits *limits, uint32_t row0, uint32_t rows,
		     struct vk_dispatch *d)
{
	const struct rope_params *r = (const struct rope_params *)n->params.bytes;
	struct push_rope *p = dispatch_params(d, sizeof *p);

	(void)row0;
	p->row_quads = n->out.cols / 4;
	p->quads = p->row_quads / r->n_heads;
	d->shader = SHADER_rope;
	d->spec[1] = r->halves;
	d->spec[2] = ROUNDS;
	d->n_spec = 3;
	flat_groups(d->groups, ceil_div((uint64_t)rows * p->row_quads, limits->subgroup_size * ROUNDS));
}

static const struct op_class rope = {
	.name = "rope", .row_flops = row_flops, .kernels = {
		[KERNELS_SHUFFLE] = { .dispatch = dispatch },
		[KERNELS_HOST] = { .run = host_rope },
	},
};

T op_rope(struct graph *g, T x, T table, uint32_t n_heads, enum rope_layout layout)
{
	struct node n = { .op = &rope, .in = { x, table } };
	const uint32_t head_dim = n_heads ? x.cols / n_heads : 0, multiple = layout == ROPE_HALVES ? 8 : 4;

	graph_require(g, head_dim && head_dim * n_heads == x.cols && head_dim % multiple == 0,
		      "rope: %u columns are no %u heads of a multiple of %u", x.cols, n_heads, multiple);
	graph_require(g, table.rows == x.rows && table.cols == head_dim,
		      "rope: the table is %u x %u, not %u x %u", table.rows, table.cols, x.rows, head_dim);
	*(struct rope_params *)n.params.bytes = (struct rope_params){ n_heads, layout == ROPE_HALVES };
	return graph_add(g, n, x.rows, x.cols);
}
