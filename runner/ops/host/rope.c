/*
 * Rotary position embedding.
 */
#include "runner/host/vector.h"
#include "runner/ops/host/host_ops.h"
#include "runner/ops/host/rows.h"
#include "runner/ops/params.h"

VECTOR static void rotate_pairs(const float *x, const float *cosines, const float *sines, float *restrict y,
				uint32_t pairs)
{
	for (size_t i = 0; i < pairs; i++) {
		const float a = x[2 * i], b = x[2 * i + 1];

		y[2 * i] = a * cosines[i] - b * sines[i];
		y[2 * i + 1] = b * cosines[i] + a * sines[i];
	}
}

VECTOR static void rotate_halves(const float *x, const float *cosines, const float *sines, float *restrict y,
				 uint32_t pairs)
{
	float *restrict second = y + pairs;

	for (size_t i = 0; i < pairs; i++) {
		const float a = x[i], b = x[pairs + i];

		y[i] = a * cosines[i] - b * sines[i];
		second[i] = b * cosines[i] + a * sines[i];
	}
}

static void rope_rows(const struct host_call *c, struct host_worker *w, uint32_t row0, uint32_t rows)
{
	const struct rope_params *p = node_params(c->node);
	const uint32_t head_dim = c->node->out.cols / p->n_heads, pairs = head_dim / 2;

	(void)w;
	for (uint32_t r = row0; r < row0 + rows; r++) {
		const float *x = host_in(c, 0, r), *table = host_in(c, 1, r);
		float *y = host_out(c, r);

		for (uint32_t h = 0; h < p->n_heads; h++, x += head_dim, y += head_dim)
			(p->halves ? rotate_halves : rotate_pairs)(x, table, table + pairs, y, pairs);
	}
}

void host_rope(const struct host_call *c)
{
	host_rows(c, rope_rows);
}
