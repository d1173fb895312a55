/* RMS norm, layer norm and group norm. */
#include <math.h>

#include "tests/ops/harness.h"

static const struct row_case { uint32_t rows, cols; float eps; } row_cases[] = {
	{ 1, 1, 1e-6f }, { 3, 7, 1e-5f }, { 9, 24, 1e-5f }, { 33, 170, 1e-6f }, { 5, 725, 1e-5f }, { 2, 3840, 1e-5f }, { 40, 128, 1e-6f },
};

static void normalize(const float *x, uint32_t n, double eps, bool centered, const float *w, double *y)
{
	double mean = 0, squares = 0;

	for (uint32_t i = 0; i < n && centered; i++)
		mean += (double)x[i] / n;
	for (uint32_t i = 0; i < n; i++)
		squares += (x[i] - mean) * (x[i] - mean) / n;
	for (uint32_t i = 0; i < n; i++)
		y[i] = (x[i] - mean) / sqrt(squares + eps) * (w ? w[i] : 1);
}

static void run_rows(struct bench *b, const struct row_case *c, const struct weight_form *f)
{
	const bool layer = !f;
	struct graph *g = bench_begin(b, "%s norm %ux%u %s at %u", layer ? "layer" : "rms", c->rows, c->cols,
				      f ? dtype_name(f->dtype) : "", f ? (unsigned)f->offset : 0);
	struct operand x = bench_tensor(b, c->rows, c->cols, 3), w = { 0 };
	double *y = bench_doubles(b, (size_t)c->rows * c->cols);

	if (f)
		w = bench_weight(b, f->dtype, f->offset, 1, (const uint32_t[]){ c->cols });
	for (uint32_t i = 0; i < c->rows; i++)
		normalize(x.v + (size_t)i * c->cols, c->cols, c->eps, layer, w.v, y + (size_t)i * c->cols);
	bench_end(b, layer ? op_layer_norm(g, x.tensor, c->eps) : op_rms_norm(g, x.tensor, &w.weight, c->eps), y,
		  BOUND_F32);
}

enum tail { ADD, SCALE1, SCALE1_ADD, GATE_ADD, TAILS };

/* A norm and what the models do with it are one node. */
static void run_tail(struct bench *b, const struct row_case *c, const struct weight_form *f, enum tail tail)
{
	struct graph *g = bench_begin(b, "norm %ux%u with tail %d", c->rows, c->cols, tail);
	struct operand x = bench_tensor(b, c->rows, c->cols, 3), row = bench_tensor(b, 1, c->cols, 1);
	struct operand other = bench_tensor(b, tail == SCALE1_ADD ? 1 : c->rows, c->cols, 1);
	struct operand w = bench_weight(b, f->dtype, f->offset, 1, (const uint32_t[]){ c->cols });
	double *y = bench_doubles(b, (size_t)c->rows * c->cols);
	T z = tail == SCALE1_ADD ? op_layer_norm(g, x.tensor, c->eps) : op_rms_norm(g, x.tensor, &w.weight, c->eps);

	for (uint32_t i = 0; i < c->rows; i++) {
		double *at = y + (size_t)i * c->cols;

		normalize(x.v + (size_t)i * c->cols, c->cols, c->eps, tail == SCALE1_ADD,
			  tail == SCALE1_ADD ? NULL : w.v, at);
		for (uint32_t k = 0; k < c->cols; k++) {
			const double o = other.v[tail == SCALE1_ADD ? k : (size_t)i * c->cols + k];
			const double by[] = { 1, 1 + (double)row.v[k], 1 + (double)row.v[k], tanh(row.v[k]) };

			at[k] = at[k] * by[tail] + (tail == SCALE1 ? 0 : o);
		}
	}
	switch (tail) {
	case ADD: z = op_add(g, other.tensor, z); break;
	case SCALE1: z = op_scale1(g, z, row.tensor); break;
	case SCALE1_ADD: z = op_add(g, op_scale1(g, z, row.tensor), other.tensor); break;
	default: z = op_gate_add(g, other.tensor, row.tensor, z);
	}
	bench_expect_nodes(b, 3 + 1 + 1);
	bench_end(b, z, y, BOUND_F32);
}

static const struct group_case { uint32_t rows, channels, groups; bool silu; } group_cases[] = {
	{ 1, 12, 2, false }, { 64, 8, 8, true }, { 513, 24, 4, true }, { 1500, 16, 8, false }, { 100, 30, 3, true }, { 700, 128, 32, true },
};

static void group_reference(const struct group_case *c, const float *x, const float *w, const float *bias, double *y)
{
	const uint32_t width = c->channels / c->groups;

	for (uint32_t k = 0; k < c->channels; k += width) {
		double n = (double)c->rows * width, mean = 0, variance = 0;

		for (uint32_t i = 0; i < c->rows; i++)
			for (uint32_t j = k; j < k + width; j++)
				mean += x[i * c->channels + j] / n;
		for (uint32_t i = 0; i < c->rows; i++)
			for (uint32_t j = k; j < k + width; j++)
				variance += pow(x[i * c->channels + j] - mean, 2) / n;
		for (uint32_t i = 0; i < c->rows; i++)
			for (uint32_t j = k; j < k + width; j++) {
				double v = (x[i * c->channels + j] - mean) / sqrt(variance + 1e-6) * w[j] + bias[j];

				y[i * c->channels + j] = c->silu ? v / (1 + exp(-v)) : v;
			}
	}
}

static void run_groups(struct bench *b, const struct group_case *c, const struct weight_form *f)
{
	struct graph *g = bench_begin(b, "group norm %ux%u in %u%s %s at %u", c->rows, c->channels, c->groups,
				      c->silu ? " silu" : "", dtype_name(f->dtype), (unsigned)f->offset);
	struct operand x = bench_tensor(b, c->rows, c->channels, 2);
	struct operand w = bench_weight(b, f->dtype, f->offset, 1, (const uint32_t[]){ c->channels });
	struct operand v = bench_weight(b, f->dtype, f->offset, 1, (const uint32_t[]){ c->channels });
	double *y = bench_doubles(b, (size_t)c->rows * c->channels);

	group_reference(c, x.v, w.v, v.v, y);
	bench_end(b, op_group_norm(g, x.tensor, c->groups, &w.weight, &v.weight, 1e-6f, c->silu), y, BOUND_F32);
}

int main(void)
{
	struct bench *b = bench_open();

	for (size_t i = 0; i < sizeof row_cases / sizeof row_cases[0]; i++) {
		run_rows(b, &row_cases[i], NULL);
		for (size_t f = 0; f < n_weight_forms; f++)
			run_rows(b, &row_cases[i], &weight_forms[f]);
		for (int tail = ADD; tail < TAILS; tail++)
			run_tail(b, &row_cases[i], &weight_forms[i % n_weight_forms], (enum tail)tail);
	}
	for (size_t i = 0; i < sizeof group_cases / sizeof group_cases[0]; i++)
		for (size_t f = 0; f < n_weight_forms; f++)
			run_groups(b, &group_cases[i], &weight_forms[f]);
	return bench_close(b);
}
