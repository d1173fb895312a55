/* y = x W^T + b over odd shapes, all dtypes, all forms of access. */
#include "tests/ops/harness.h"

static const struct linear_case { uint32_t m, n, k; } cases[] = {
	{ 1, 1, 1 }, { 1, 24, 8 }, { 2, 3, 5 }, { 17, 25, 16 }, { 16, 24, 170 }, { 33, 7, 9 }, { 5, 48, 64 }, { 3, 725, 12 }, { 9, 10, 725 },
};

static void multiply(const struct linear_case *c, const float *x, const float *w, const float *bias, double *y)
{
	for (uint32_t i = 0; i < c->m; i++)
		for (uint32_t j = 0; j < c->n; j++) {
			double sum = bias ? bias[j] : 0;

			for (uint32_t k = 0; k < c->k; k++)
				sum += (double)x[i * c->k + k] * w[j * c->k + k];
			y[i * c->n + j] = sum;
		}
}

static void run_case(struct bench *b, const struct linear_case *c, const struct weight_form *f, bool bias)
{
	struct graph *g = bench_begin(b, "linear %ux%ux%u %s at %u%s", c->m, c->n, c->k, dtype_name(f->dtype),
				      (unsigned)f->offset, bias ? " with bias" : "");
	struct operand x = bench_tensor(b, c->m, c->k, 1);
	struct operand w = bench_weight(b, f->dtype, f->offset, 2, (const uint32_t[]){ c->n, c->k });
	struct operand v = bench_weight(b, f->dtype, f->offset, 1, (const uint32_t[]){ c->n });
	double *y = bench_doubles(b, (size_t)c->m * c->n);

	multiply(c, x.v, w.v, bias ? v.v : NULL, y);
	bench_end(b, op_linear(g, x.tensor, &w.weight, bias ? &v.weight : NULL), y, BOUND_F32);
}

/*
 * Numbers that half precision cannot hold, among them some far above those before: kernels
 * that round operands must scale them, and what they have summed.
 */
static void run_range(struct bench *b, float scale)
{
	const struct linear_case c = { 40, 24, 200 };
	struct graph *g = bench_begin(b, "linear of numbers around %g", scale);
	struct operand x = bench_tensor(b, c.m, c.k, scale);
	struct operand w = bench_weight(b, DTYPE_BF16, 0, 2, (const uint32_t[]){ c.n, c.k });
	double *y = bench_doubles(b, (size_t)c.m * c.n);

	for (uint32_t i = 0; i < c.m; i += 3) {
		bench_set(b, &x, i * c.k + 70, 40 * scale);
		bench_set(b, &x, i * c.k + 165, -3000 * scale);
	}
	multiply(&c, x.v, w.v, NULL, y);
	bench_end(b, op_linear(g, x.tensor, &w.weight, NULL), y, BOUND_F32);
}

int main(void)
{
	struct bench *b = bench_open();

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (size_t f = 0; f < n_weight_forms; f++)
			run_case(b, &cases[i], &weight_forms[f], (i + f) % 2);
	run_range(b, 1);
	run_range(b, 1e6f);
	run_range(b, 1e-3f);
	return bench_close(b);
}
