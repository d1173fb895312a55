/* 3x3 convolution, plain and over an input read at twice its size. */
#include "tests/ops/harness.h"

static const struct conv_case { uint32_t h, w, c, n; bool up; } cases[] = {
	{ 1, 1, 8, 8, false }, { 3, 5, 16, 3, false }, { 7, 2, 3, 5, false }, { 4, 4, 12, 25, true }, { 1, 9, 8, 24, true }, { 6, 5, 20, 26, false },
};

static void reference(const struct conv_case *c, const float *x, const float *w, const float *bias, double *y)
{
	const int height = (int)(c->up ? 2 * c->h : c->h), width = (int)(c->up ? 2 * c->w : c->w);

	for (int p = 0; p < height * width; p++)
		for (uint32_t n = 0; n < c->n; n++) {
			double sum = bias[n];

			for (int tap = 0; tap < 9; tap++) {
				int py = p / width + tap / 3 - 1, px = p % width + tap % 3 - 1;
				size_t at;

				if (py < 0 || px < 0 || py >= height || px >= width)
					continue;
				at = (size_t)(c->up ? py / 2 : py) * c->w + (size_t)(c->up ? px / 2 : px);
				for (uint32_t k = 0; k < c->c; k++)
					sum += (double)x[at * c->c + k] * w[((size_t)tap * c->n + n) * c->c + k];
			}
			y[(size_t)p * c->n + n] = sum;
		}
}

static void run_case(struct bench *b, const struct conv_case *c, const struct weight_form *f)
{
	struct graph *g = bench_begin(b, "conv3x3 %ux%u %u->%u%s %s at %u", c->w, c->h, c->c, c->n,
				      c->up ? " upsampled" : "", dtype_name(f->dtype), (unsigned)f->offset);
	struct operand x = bench_tensor(b, c->h * c->w, c->c, 1);
	struct operand w = bench_weight(b, f->dtype, f->offset, 3, (const uint32_t[]){ 9, c->n, c->c });
	struct operand v = bench_weight(b, f->dtype, f->offset, 1, (const uint32_t[]){ c->n });
	double *y = bench_doubles(b, (size_t)c->h * c->w * c->n * (c->up ? 4 : 1));

	reference(c, x.v, w.v, v.v, y);
	bench_end(b, op_conv3x3(g, x.tensor, c->h, c->w, c->up, &w.weight, &v.weight), y, BOUND_F32);
}

int main(void)
{
	struct bench *b = bench_open();

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (size_t f = 0; f < n_weight_forms; f++)
			run_case(b, &cases[i], &weight_forms[f]);
	return bench_close(b);
}
