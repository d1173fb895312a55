/*
 * RMS norm and layer norm over the last axis.
 */
#include <math.h>

#include "runner/host/vector.h"
#include "runner/ops/host/host_ops.h"
#include "runner/ops/host/rows.h"
#include "runner/ops/params.h"

enum { LANES = 16 };

/* Of (x - center)^2; of x itself for power 1. Sums of lanes, so that the loop is vector code. */
VECTOR static float sum_powers(const float *x, uint32_t n, float center, int power)
{
	float sum[LANES] = { 0 }, all = 0;
	uint32_t i = 0;

	for (; i + LANES <= n; i += LANES)
		for (uint32_t l = 0; l < LANES; l++) {
			const float d = x[i + l] - center;

			sum[l] += power == 1 ? d : d * d;
		}
	for (; i < n; i++) {
		const float d = x[i] - center;

		all += power == 1 ? d : d * d;
	}
	for (uint32_t l = 0; l < LANES; l++)
		all += sum[l];
	return all;
}

VECTOR static void apply(const float *x, const float *w, float *y, uint32_t n, float center, float factor)
{
	IN_PLACE
	for (uint32_t i = 0; i < n; i++)
		y[i] = (x[i] - center) * factor * (w ? w[i] : 1);
}

/* row: factors that are ready to multiply with */
VECTOR static void add_tail(float *y, const float *row, const float *other, uint32_t n, enum norm_tail tail)
{
	switch (tail) {
	case NORM_TAIL_ADD:
		IN_PLACE
		for (uint32_t i = 0; i < n; i++)
			y[i] += other[i];
		return;
	case NORM_TAIL_SCALE1:
		for (uint32_t i = 0; i < n; i++)
			y[i] *= row[i];
		return;
	default:
		IN_PLACE
		for (uint32_t i = 0; i < n; i++)
			y[i] = y[i] * row[i] + other[i];
	}
}

/* 1 + row, or tanh(row) */
static void factors(const float *row, float *ret, uint32_t n, enum norm_tail tail)
{
	for (uint32_t i = 0; i < n; i++)
		ret[i] = tail == NORM_TAIL_GATE_ADD ? tanhf(row[i]) : 1 + row[i];
}

static void norm_rows(const struct host_call *c, struct host_worker *worker, uint32_t row0, uint32_t rows)
{
	const struct norm_params *p = node_params(c->node);
	const uint32_t n = c->node->out.cols;
	float *w = host_scratch(worker, 0, 2 * n * sizeof *w), *row = w + n;

	if (!w)
		return;
	if (c->weights[0])
		dtype_to_f32(c->node->weights[0]->dtype, c->weights[0], w, n);
	if (p->tail)
		factors(host_in(c, 1, 0), row, n, p->tail);
	for (uint32_t r = row0; r < row0 + rows; r++) {
		const float *x = host_in(c, 0, r);
		float *y = host_out(c, r);
		const float center = p->centered ? sum_powers(x, n, 0, 1) / (float)n : 0;
		const float mean = sum_powers(x, n, center, 2) / (float)n;

		apply(x, c->weights[0] ? w : NULL, y, n, center, 1 / sqrtf(mean + p->eps));
		if (p->tail)
			add_tail(y, row, host_in(c, 2, c->node->in[2].rows > 1 ? r : 0), n, p->tail);
	}
}

void host_norm(const struct host_call *c)
{
	host_rows(c, norm_rows);
}
