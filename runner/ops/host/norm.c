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
	for (uint32_t i = 0; i < n; i++)
		y[i] = (x[i] - center) * factor * (w ? w[i] : 1);
}

static void norm_rows(const struct host_call *c, struct host_worker *worker, uint32_t row0, uint32_t rows)
{
	const struct norm_params *p = node_params(c->node);
	const uint32_t n = c->node->out.cols;
	float *w = NULL;

	if (c->weights[0]) {
		w = host_scratch(worker, 0, n * sizeof *w);
		if (!w)
			return;
		dtype_to_f32(c->node->weights[0]->dtype, c->weights[0], w, n);
	}
	for (uint32_t r = row0; r < row0 + rows; r++) {
		const float *x = host_in(c, 0, r);
		const float center = p->centered ? sum_powers(x, n, 0, 1) / (float)n : 0;
		const float mean = sum_powers(x, n, center, 2) / (float)n;

		apply(x, w, host_out(c, r), n, center, 1 / sqrtf(mean + p->eps));
	}
}

void host_norm(const struct host_call *c)
{
	host_rows(c, norm_rows);
}
