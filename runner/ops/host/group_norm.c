/*
 * Group norm in the three nodes that its shaders compute: see shaders/group_norm_*.comp.
 */
#include <math.h>
#include <string.h>

#include "runner/host/vector.h"
#include "runner/ops/host/group_norm.h"
#include "runner/ops/host/host_ops.h"
#include "runner/ops/host/rows.h"
#include "runner/ops/params.h"

VECTOR static void add_row(float *sum, const float *x, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		sum[i] += x[i];
}

VECTOR static void add_squares(float *sum, const float *x, const float *mean, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const float d = x[i] - mean[i];

		sum[i] += d * d;
	}
}

static void one_chunk(const void *context, struct host_worker *w, uint64_t chunk)
{
	const struct host_call *c = context;
	const T x = c->node->in[0];
	const uint32_t begin = (uint32_t)chunk * GROUP_NORM_CHUNK;
	const uint32_t end = x.rows - begin < GROUP_NORM_CHUNK ? x.rows : begin + GROUP_NORM_CHUNK;
	float *mean = host_out(c, (uint32_t)chunk), *squares = mean + tensor_stride(x);

	(void)w;
	memset(mean, 0, 2 * tensor_stride(x) * sizeof *mean);
	for (uint32_t r = begin; r < end; r++)
		add_row(mean, host_in(c, 0, r), x.cols);
	for (uint32_t i = 0; i < x.cols; i++)
		mean[i] /= (float)(end - begin);
	for (uint32_t r = begin; r < end; r++)
		add_squares(squares, host_in(c, 0, r), mean, x.cols);
}

void host_group_norm_partial(const struct host_call *c)
{
	host_run(c->pool, c->node->out.rows, one_chunk, c);
}

static uint32_t rows_of_chunk(const struct group_norm_params *p, uint32_t chunk)
{
	const uint32_t left = p->n_rows - chunk * GROUP_NORM_CHUNK;

	return left < GROUP_NORM_CHUNK ? left : GROUP_NORM_CHUNK;
}

/* Output [2, channels]: the group's mean, then 1 / sqrt(variance + eps). */
static void one_group(const void *context, struct host_worker *w, uint64_t group)
{
	const struct host_call *c = context;
	const struct group_norm_params *p = node_params(c->node);
	const uint32_t width = p->channels / p->groups, first = (uint32_t)group * width;
	const size_t half = c->node->in[0].cols / 2;
	const double n = (double)p->n_rows * width;
	double mean = 0, squares = 0;

	(void)w;
	for (uint32_t k = 0; k < c->node->in[0].rows; k++)
		for (uint32_t i = first; i < first + width; i++)
			mean += host_in(c, 0, k)[i] * (rows_of_chunk(p, k) / n);
	for (uint32_t k = 0; k < c->node->in[0].rows; k++)
		for (uint32_t i = first; i < first + width; i++) {
			const double d = host_in(c, 0, k)[i] - mean;

			squares += host_in(c, 0, k)[half + i] + rows_of_chunk(p, k) * d * d;
		}
	for (uint32_t i = first; i < first + width; i++) {
		host_out(c, 0)[i] = (float)mean;
		host_out(c, 1)[i] = (float)(1 / sqrt(squares / n + (double)p->eps));
	}
}

void host_group_norm_merge(const struct host_call *c)
{
	const struct group_norm_params *p = node_params(c->node);

	host_run(c->pool, p->groups, one_group, c);
}

VECTOR static void normalize(const struct host_group_norm *a, const float *x, float *y, uint32_t n)
{
	const float *mean = a->mean, *factor = a->factor, *bias = a->bias;

	IN_PLACE
	for (uint32_t i = 0; i < n; i++)
		y[i] = (x[i] - mean[i]) * factor[i] + bias[i];
}

VECTOR static void normalize_silu(const struct host_group_norm *a, const float *x, float *y, uint32_t n)
{
	const float *mean = a->mean, *factor = a->factor, *bias = a->bias;

	IN_PLACE
	for (uint32_t i = 0; i < n; i++)
		y[i] = vector_silu((x[i] - mean[i]) * factor[i] + bias[i]);
}

bool host_group_norm_load(const struct host_call *c, struct host_worker *w, const float *stats, unsigned weight,
			  unsigned slot, struct host_group_norm *ret)
{
	const struct weight *const *weights = c->node->weights;
	const uint32_t n = weights[weight]->dim[0];
	float *factor = host_scratch(w, slot, 2 * n * sizeof *factor), *bias = factor + n;
	const float *rstd = stats + (n + 3) / 4 * 4;

	if (!factor)
		return false;
	dtype_to_f32(weights[weight]->dtype, c->weights[weight], factor, n);
	dtype_to_f32(weights[weight + 1]->dtype, c->weights[weight + 1], bias, n);
	for (uint32_t i = 0; i < n; i++)
		factor[i] *= rstd[i];
	*ret = (struct host_group_norm){ .mean = stats, .factor = factor, .bias = bias };
	return true;
}

void host_group_norm_row(const struct host_group_norm *a, bool silu, const float *x, float *y, uint32_t n)
{
	(silu ? normalize_silu : normalize)(a, x, y, n);
}

static void apply_rows(const struct host_call *c, struct host_worker *w, uint32_t row0, uint32_t rows)
{
	const struct group_norm_params *p = node_params(c->node);
	struct host_group_norm a;

	if (!host_group_norm_load(c, w, host_in(c, 1, 0), 0, 0, &a))
		return;
	for (uint32_t r = row0; r < row0 + rows; r++)
		host_group_norm_row(&a, p->silu, host_in(c, 0, r), host_out(c, r), c->node->out.cols);
}

void host_group_norm_apply(const struct host_call *c)
{
	host_rows(c, apply_rows);
}
