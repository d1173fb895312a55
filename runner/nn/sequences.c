/*
 * Batches: n sequences of equal length, one after the other in one tensor. Adds nodes
 * only; GPU thread.
 */
#include "runner/nn/nn.h"

T nn_join(struct graph *g, T a, T b, unsigned n)
{
	T x = op_concat_rows(g, graph_part(g, a, 0, n), graph_part(g, b, 0, n));
	unsigned i;

	for (i = 1; i < n; i++)
		x = op_concat_rows(g, x, op_concat_rows(g, graph_part(g, a, i, n),
							graph_part(g, b, i, n)));
	return x;
}

T nn_pick(struct graph *g, T x, uint32_t row0, uint32_t rows, unsigned n)
{
	T y = graph_rows(g, graph_part(g, x, 0, n), row0, rows);
	unsigned i;

	for (i = 1; i < n; i++)
		y = op_concat_rows(g, y, graph_rows(g, graph_part(g, x, i, n), row0, rows));
	return y;
}

T nn_repeat(struct graph *g, T x, unsigned n)
{
	T y = x;
	unsigned i;

	for (i = 1; i < n; i++)
		y = op_concat_rows(g, y, x);
	return y;
}
