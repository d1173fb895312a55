/* Attention over odd lengths, grouped key heads, causal, narrow and wide heads. */
#include <math.h>

#include "tests/ops/harness.h"

static const struct attention_case { uint32_t nq, nk, heads, kv_heads, dim; bool causal; float scale; unsigned n; } cases[] = {
	{ 1, 1, 1, 1, 4, false, 1 }, { 3, 5, 2, 1, 8, false, 1 }, { 17, 33, 3, 3, 24, false, 1 }, { 9, 40, 4, 2, 16, false, 6 },
	{ 1, 1, 2, 1, 16, true, 1 }, { 23, 23, 4, 2, 32, true, 1 }, { 40, 40, 2, 2, 128, true, 2 }, { 20, 20, 1, 1, 512, false, 1 },
	{ 11, 64, 1, 1, 140, false, 1 }, { 21, 13, 4, 2, 16, false, 1, 2 }, { 37, 37, 2, 1, 24, true, 1, 3 },
};

static void attend(const struct attention_case *c, const float *q, const float *k, const float *v, uint32_t n,
		   double *weights, double *y)
{
	const uint32_t stride = c->kv_heads * c->dim;
	double top = -INFINITY, total = 0;

	for (uint32_t j = 0; j < n; j++) {
		weights[j] = 0;
		for (uint32_t d = 0; d < c->dim; d++)
			weights[j] += (double)q[d] * k[j * stride + d] / sqrt(c->dim);
		top = fmax(top, weights[j]);
	}
	for (uint32_t j = 0; j < n; j++)
		total += weights[j] = exp(weights[j] - top);
	for (uint32_t j = 0; j < n; j++)
		for (uint32_t d = 0; d < c->dim; d++)
			y[d] += weights[j] / total * v[j * stride + d];
}

static void run_case(struct bench *b, const struct attention_case *c)
{
	const uint32_t n = c->n ? c->n : 1, nq = n * c->nq, nk = n * c->nk;
	struct graph *g = bench_begin(b, "attention %u of %u x %u, %u of %u heads of %u%s", n, c->nq, c->nk,
				      c->heads, c->kv_heads, c->dim, c->causal ? ", causal" : "");
	struct operand q = bench_tensor(b, nq, c->heads * c->dim, c->scale);
	struct operand k = bench_tensor(b, nk, c->kv_heads * c->dim, c->scale);
	struct operand v = bench_tensor(b, nk, c->kv_heads * c->dim, 1);
	double *y = bench_doubles(b, (size_t)nq * c->heads * c->dim), *weights = bench_doubles(b, c->nk);

	for (uint32_t i = 0; i < nq; i++)
		for (uint32_t h = 0; h < c->heads; h++) {
			size_t at = ((size_t)i * c->heads + h) * c->dim, kv = h / (c->heads / c->kv_heads) * c->dim;
			size_t first = (size_t)(i / c->nq) * c->nk * c->kv_heads * c->dim;

			attend(c, q.v + at, k.v + first + kv, v.v + first + kv, c->causal ? i % c->nq + 1 : c->nk,
			       weights, y + at);
		}
	bench_end(b, op_attention(g, q.tensor, k.tensor, v.tensor, n, c->heads, c->kv_heads, c->causal), y,
		  BOUND_F32);
}

/* One key that is not a number must reach every output: a picture must not hide it. */
static void run_nan(struct bench *b)
{
	struct graph *g = bench_begin(b, "attention with a NaN key");
	struct operand q = bench_tensor(b, 9, 16, 1), k = bench_tensor(b, 20, 16, 1), v = bench_tensor(b, 20, 16, 1);

	bench_set(b, &k, 7 * 16 + 3, NAN);
	bench_end_nan(b, op_attention(g, q.tensor, k.tensor, v.tensor, 1, 1, 1, false));
}

int main(void)
{
	struct bench *b = bench_open();

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		run_case(b, &cases[i]);
	run_nan(b);
	return bench_close(b);
}
