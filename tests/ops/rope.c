/* Rotary embedding, both layouts. */
#include "tests/ops/harness.h"

static const struct rope_case { uint32_t rows, heads, dim; enum rope_layout layout; } cases[] = {
	{ 1, 1, 4, ROPE_INTERLEAVED }, { 7, 3, 24, ROPE_INTERLEAVED }, { 33, 2, 128, ROPE_INTERLEAVED }, { 5, 5, 12, ROPE_INTERLEAVED },
	{ 1, 1, 8, ROPE_HALVES }, { 9, 4, 16, ROPE_HALVES }, { 40, 3, 128, ROPE_HALVES },
};

static void run_case(struct bench *b, const struct rope_case *c)
{
	struct graph *g = bench_begin(b, "rope %u x %u heads of %u, layout %d", c->rows, c->heads, c->dim, (int)c->layout);
	struct operand x = bench_tensor(b, c->rows, c->heads * c->dim, 1), t = bench_tensor(b, c->rows, c->dim, 1);
	double *y = bench_doubles(b, (size_t)c->rows * c->heads * c->dim);
	const uint32_t half = c->dim / 2;

	for (uint32_t i = 0; i < c->rows; i++)
		for (uint32_t k = 0; k < c->heads * half; k++) {
			const uint32_t head = k / half, pair = k % half;
			const size_t at = (size_t)i * c->heads * c->dim + head * c->dim;
			const size_t p = at + (c->layout == ROPE_HALVES ? pair : 2 * pair);
			const size_t q = c->layout == ROPE_HALVES ? p + half : p + 1;
			const double cosine = t.v[i * c->dim + pair], sine = t.v[i * c->dim + half + pair];

			y[p] = x.v[p] * cosine - x.v[q] * sine;
			y[q] = x.v[q] * cosine + x.v[p] * sine;
		}
	bench_end(b, op_rope(g, x.tensor, t.tensor, c->heads, c->layout), y, BOUND_F32);
}

int main(void)
{
	struct bench *b = bench_open();

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		run_case(b, &cases[i]);
	return bench_close(b);
}
