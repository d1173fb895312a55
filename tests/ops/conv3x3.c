/* 3x3 convolution: plain, over an input read at twice its size, and of every second place. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ops/harness.h"

static const struct conv_case { uint32_t h, w, c, n; enum conv_size size; } cases[] = {
	{ 1, 1, 8, 8, CONV_SAME }, { 3, 5, 16, 3, CONV_SAME }, { 7, 2, 3, 5, CONV_SAME }, { 6, 5, 20, 26, CONV_SAME },
	{ 4, 4, 12, 25, CONV_DOUBLE }, { 1, 9, 8, 24, CONV_DOUBLE },
	{ 2, 2, 8, 8, CONV_HALF }, { 8, 6, 13, 7, CONV_HALF }, { 2, 18, 3, 5, CONV_HALF }, { 14, 10, 16, 24, CONV_HALF },
};
static const char *const size_names[] = { "", " doubled", " halved" };

static void reference(const struct conv_case *c, const float *x, const float *w, const float *bias, double *y)
{
	const bool up = c->size == CONV_DOUBLE;
	const int step = c->size == CONV_HALF ? 2 : 1, before = c->size == CONV_HALF ? 0 : 1;
	const int read_h = (int)c->h * (up ? 2 : 1), read_w = (int)c->w * (up ? 2 : 1);
	const int height = read_h / step, width = read_w / step;

	for (int p = 0; p < height * width; p++)
		for (uint32_t n = 0; n < c->n; n++) {
			double sum = bias[n];

			for (int tap = 0; tap < 9; tap++) {
				int py = p / width * step + tap / 3 - before, px = p % width * step + tap % 3 - before;
				size_t at;

				if (py < 0 || px < 0 || py >= read_h || px >= read_w)
					continue;
				at = (size_t)(up ? py / 2 : py) * c->w + (size_t)(up ? px / 2 : px);
				for (uint32_t k = 0; k < c->c; k++)
					sum += (double)x[at * c->c + k] * w[((size_t)tap * c->n + n) * c->c + k];
			}
			y[(size_t)p * c->n + n] = sum;
		}
}

static void run_case(struct bench *b, const struct conv_case *c, const struct weight_form *f)
{
	struct graph *g = bench_begin(b, "conv3x3 %ux%u %u->%u%s %s at %u", c->w, c->h, c->c, c->n,
				      size_names[c->size], dtype_name(f->dtype), (unsigned)f->offset);
	struct operand x = bench_tensor(b, c->h * c->w, c->c, 1);
	struct operand w = bench_weight(b, f->dtype, f->offset, 3, (const uint32_t[]){ 9, c->n, c->c });
	struct operand v = bench_weight(b, f->dtype, f->offset, 1, (const uint32_t[]){ c->n });
	double *y = bench_doubles(b, (size_t)c->h * c->w * c->n * (c->size == CONV_DOUBLE ? 4 : 1));

	reference(c, x.v, w.v, v.v, y);
	bench_end(b, op_conv3x3(g, x.tensor, c->h, c->w, c->size, &w.weight, &v.weight), y, BOUND_F32);
}

/* One group over everything, then silu; into fresh floats that the bench frees. */
static void normalized(const struct operand *x, size_t n, uint32_t channels, const float *w, const float *bias, float *y)
{
	double mean = 0, squares = 0;

	for (size_t i = 0; i < n; i++)
		mean += (double)x->v[i] / (double)n;
	for (size_t i = 0; i < n; i++)
		squares += (x->v[i] - mean) * (x->v[i] - mean) / (double)n;
	for (size_t i = 0; i < n; i++) {
		const double v = (x->v[i] - mean) / sqrt(squares + 1e-6) * w[i % channels] + bias[i % channels];

		y[i] = (float)(v / (1 + exp(-v)));
	}
}

/* What the VAE does before nearly every convolution; on the host it is one node. */
static void run_normed(struct bench *b, const struct conv_case *c, const struct weight_form *f)
{
	const char *set = getenv("EASEL_KERNELS");
	struct graph *g = bench_begin(b, "group norm, conv3x3 %ux%u %u->%u%s %s at %u", c->w, c->h, c->c, c->n,
				      size_names[c->size], dtype_name(f->dtype), (unsigned)f->offset);
	struct operand x = bench_tensor(b, c->h * c->w, c->c, 1), normal = bench_tensor(b, c->h * c->w, c->c, 1);
	struct operand w = bench_weight(b, f->dtype, f->offset, 3, (const uint32_t[]){ 9, c->n, c->c });
	struct operand v = bench_weight(b, f->dtype, f->offset, 1, (const uint32_t[]){ c->n });
	struct operand nw = bench_weight(b, f->dtype, f->offset, 1, (const uint32_t[]){ c->c });
	struct operand nb = bench_weight(b, f->dtype, f->offset, 1, (const uint32_t[]){ c->c });
	double *y = bench_doubles(b, (size_t)c->h * c->w * c->n * (c->size == CONV_DOUBLE ? 4 : 1));
	T h = op_group_norm(g, x.tensor, 1, &nw.weight, &nb.weight, 1e-6f, true);

	normalized(&x, (size_t)c->h * c->w * c->c, c->c, nw.v, nb.v, normal.v);
	reference(c, normal.v, w.v, v.v, y);
	bench_expect_nodes(b, set && !strncmp(set, "host", 4) ? 2 + 3 + 1 : 2 + 4 + 1);
	bench_end(b, op_conv3x3(g, h, c->h, c->w, c->size, &w.weight, &v.weight), y, BOUND_F32);
}

/* The kernel as files have it, [n, c, 9], which only the host's kernels read. */
static void run_stored(struct bench *b, const struct conv_case *c, const struct weight_form *f)
{
	struct graph *g = bench_begin(b, "conv3x3 as stored %ux%u %u->%u%s %s at %u", c->w, c->h, c->c, c->n,
				      size_names[c->size], dtype_name(f->dtype), (unsigned)f->offset);
	struct operand x = bench_tensor(b, c->h * c->w, c->c, 1);
	struct operand w = bench_weight(b, f->dtype, f->offset, 3, (const uint32_t[]){ 9, c->n, c->c });
	struct operand v = bench_weight(b, f->dtype, f->offset, 1, (const uint32_t[]){ c->n });
	double *y = bench_doubles(b, (size_t)c->h * c->w * c->n * (c->size == CONV_DOUBLE ? 4 : 1));
	float *taps = calloc((size_t)9 * c->n * c->c, sizeof *taps);

	for (size_t i = 0; taps && i < (size_t)c->n * c->c; i++)
		for (size_t tap = 0; tap < 9; tap++)
			taps[tap * c->n * c->c + i] = w.v[i * 9 + tap];
	reference(c, x.v, taps, v.v, y);
	free(taps);
	w.weight.taps_last = true;
	if (graph_on_host(g))
		bench_end(b, op_conv3x3(g, x.tensor, c->h, c->w, c->size, &w.weight, &v.weight), y, BOUND_F32);
	else
		bench_end_error((op_conv3x3(g, x.tensor, c->h, c->w, c->size, &w.weight, &v.weight), b),
				"as hosts want it");
}

int main(void)
{
	struct bench *b = bench_open();

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (size_t f = 0; f < n_weight_forms; f++)
			run_case(b, &cases[i], &weight_forms[f]);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		run_normed(b, &cases[i], &weight_forms[i % n_weight_forms]);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		run_stored(b, &cases[i], &weight_forms[(i + 1) % n_weight_forms]);
	return bench_close(b);
}
