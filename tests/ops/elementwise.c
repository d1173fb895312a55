/* Elementwise functions, one-row operands, concatenation and padding of rows. */
#include <math.h>
#include <string.h>

#include "tests/ops/harness.h"

static double silu(double x)
{
	return x / (1 + exp(-x));
}

static T swiglu(struct graph *g, T a, T b, T c) { (void)c; return op_swiglu(g, a, b); }
static T add(struct graph *g, T a, T b, T c) { (void)c; return op_add(g, a, b); }
static T scale1(struct graph *g, T a, T b, T c) { (void)c; return op_scale1(g, a, b); }
static T gate_add(struct graph *g, T a, T b, T c) { return op_gate_add(g, a, b, c); }
static T mul_add(struct graph *g, T a, T b, T c) { return op_mul_add(g, a, b, c); }
static T silu_op(struct graph *g, T a, T b, T c) { (void)b; (void)c; return op_silu(g, a); }

static double ref_swiglu(double a, double b, double c) { (void)c; return silu(a) * b; }
static double ref_add(double a, double b, double c) { (void)c; return a + b; }
static double ref_scale1(double a, double b, double c) { (void)c; return a * (1 + b); }
static double ref_gate_add(double a, double b, double c) { return a + tanh(b) * c; }
static double ref_mul_add(double a, double b, double c) { return a + b * c; }
static double ref_silu(double a, double b, double c) { (void)b; (void)c; return silu(a); }

static const struct function {
	const char *name;
	T (*op)(struct graph *g, T a, T b, T c);
	double (*ref)(double a, double b, double c);
	bool broadcasts;
} functions[] = {
	{ "add", add, ref_add, true }, { "scale1", scale1, ref_scale1, true },
	{ "gate_add", gate_add, ref_gate_add, true }, { "mul_add", mul_add, ref_mul_add, true },
	{ "swiglu", swiglu, ref_swiglu, false },
	{ "silu", silu_op, ref_silu, false },
};

static void run_function(struct bench *b, const struct function *f, uint32_t rows, uint32_t cols, bool one_row, float scale)
{
	struct graph *g = bench_begin(b, "%s %ux%u%s times %g", f->name, rows, cols, one_row ? " one row" : "", (double)scale);
	struct operand x = bench_tensor(b, rows, cols, scale), y = bench_tensor(b, one_row ? 1 : rows, cols, scale);
	struct operand z = bench_tensor(b, rows, cols, 1);
	double *ref = bench_doubles(b, (size_t)rows * cols);

	for (size_t i = 0; i < (size_t)rows * cols; i++)
		ref[i] = f->ref(x.v[i], y.v[one_row ? i % cols : i], z.v[i]);
	bench_end(b, f->op(g, x.tensor, y.tensor, z.tensor), ref, BOUND_F32);
}

static void run_concat(struct bench *b, uint32_t first, uint32_t second, uint32_t cols)
{
	struct graph *g = bench_begin(b, "concat %u and %u rows of %u", first, second, cols);
	struct operand x = bench_tensor(b, first, cols, 1), y = bench_tensor(b, second, cols, 1);
	double *ref = bench_doubles(b, (size_t)(first + second) * cols);

	for (size_t i = 0; i < (size_t)first * cols; i++)
		ref[i] = x.v[i];
	for (size_t i = 0; i < (size_t)second * cols; i++)
		ref[(size_t)first * cols + i] = y.v[i];
	bench_end(b, op_concat_rows(g, x.tensor, y.tensor), ref, 0);
}

static void run_concat_cols(struct bench *b, uint32_t rows, uint32_t first, uint32_t second)
{
	struct graph *g = bench_begin(b, "concat %u and %u columns of %u rows", first, second, rows);
	struct operand x = bench_tensor(b, rows, first, 1), y = bench_tensor(b, rows, second, 1);
	const uint32_t cols = first + second;
	double *ref = bench_doubles(b, (size_t)rows * cols);

	for (size_t i = 0; i < (size_t)rows * cols; i++) {
		size_t row = i / cols, col = i % cols;

		ref[i] = col < first ? x.v[row * first + col] : y.v[row * second + col - first];
	}
	bench_end(b, op_concat_cols(g, (const T[]){ x.tensor, y.tensor }, 2), ref, 0);
}

static void run_pad(struct bench *b, uint32_t rows, uint32_t padded, uint32_t cols, const struct weight_form *f)
{
	struct graph *g = bench_begin(b, "pad %u to %u rows of %u %s", rows, padded, cols, dtype_name(f->dtype));
	struct operand x = bench_tensor(b, rows, cols, 1);
	struct operand w = bench_weight(b, f->dtype, f->offset, 2, (const uint32_t[]){ 1, cols });
	double *ref = bench_doubles(b, (size_t)padded * cols);

	for (size_t i = 0; i < (size_t)padded * cols; i++)
		ref[i] = i < (size_t)rows * cols ? x.v[i] : w.v[i % cols];
	bench_end(b, op_pad_rows(g, x.tensor, &w.weight, padded), ref, 0);
}

int main(void)
{
	static const uint32_t shapes[][2] = { { 1, 1 }, { 3, 7 }, { 5, 170 }, { 64, 272 }, { 300, 9 } };
	struct bench *b = bench_open();

	for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
		for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
			run_function(b, &functions[i], shapes[s][0], shapes[s][1], false, s % 2 ? 40 : 0.1f);
			if (functions[i].broadcasts)
				run_function(b, &functions[i], shapes[s][0], shapes[s][1], true, 1);
		}
	run_concat(b, 1, 1, 4);
	run_concat(b, 33, 32, 272);
	run_concat(b, 5, 7, 3);
	run_concat_cols(b, 1, 4, 4);
	run_concat_cols(b, 512, 32, 96);
	run_concat_cols(b, 37, 300, 8);
	for (size_t f = 0; f < n_weight_forms; f++) {
		run_pad(b, 3, 32, 64, &weight_forms[f]);
		run_pad(b, 31, 32, 9, &weight_forms[f]);
	}
	return bench_close(b);
}
