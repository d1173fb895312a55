/*
 * y = x W^T + b, and the gated feed-forward built of it. Adds nodes only; GPU thread.
 */
#include "runner/nn/nn.h"

T nn_linear(struct graph *g, const struct linear *l, T x)
{
	return op_linear(g, x, &l->weight, &l->bias);
}

T nn_swiglu(struct graph *g, const struct swiglu *m, T x)
{
	return nn_linear(g, &m->down, op_swiglu(g, nn_linear(g, &m->gate, x),
						nn_linear(g, &m->up, x)));
}
