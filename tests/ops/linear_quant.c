/*
 * y = x W^T + b with W in every quantised form: rows that are no whole number of groups or
 * blocks, arrays at any address, rows out of a larger matrix.
 */
#include <math.h>

#include "tests/ops/harness.h"

static const struct quant forms[] = {
	{ QUANT_INT8, 64, 1, DTYPE_BF16, 1 }, { QUANT_INT8, 32, 1, DTYPE_F16, 1 }, { QUANT_INT8, 20, 1, DTYPE_F32, 1 },
	{ QUANT_INT8, 3, 1, DTYPE_BF16, 1 }, { QUANT_INT4, 64, 1, DTYPE_BF16, 1 }, { QUANT_INT4, 32, 1, DTYPE_F32, 1 },
	{ QUANT_INT4, 5, 1, DTYPE_F16, 1 }, { QUANT_MXFP8, 32, 1, DTYPE_NONE, 1 }, { QUANT_MXFP4, 32, 1, DTYPE_NONE, 1 },
	{ QUANT_NVFP4, 16, 1, DTYPE_NONE, 1 }, { QUANT_NVFP4, 16, 1, DTYPE_NONE, 0.37f },
	{ QUANT_FP8, 100000, 100000, DTYPE_F32, 1 }, { QUANT_FP8, 128, 128, DTYPE_F32, 1 },
	{ QUANT_FP8, 12, 7, DTYPE_BF16, 1 }, { QUANT_INT8_ROWS, 100000, 1, DTYPE_F32, 1 }, { QUANT_Q8_0 },
	{ QUANT_Q4_0 }, { QUANT_Q4_K }, { QUANT_Q5_K }, { QUANT_Q6_K },
};
enum { N_FORMS = sizeof forms / sizeof *forms };

static const struct quant_case {
	uint32_t m, n, k, row0;                 /* row0: the rows from there on of a matrix of row0 + n */
	uint64_t offset;
} cases[] = {
	{ 1, 1, 1, 0, 0 }, { 2, 3, 5, 0, 1 }, { 3, 25, 64, 2, 4 }, { 17, 7, 33, 0, 2 }, { 5, 130, 150, 9, 0 },
	{ 16, 24, 256, 0, 7 }, { 4, 33, 725, 3, 6 }, { 2, 5, 1100, 0, 64 },
};

/* Rows [row0, ...) of a matrix, as weights_rows() makes them. */
static struct weight rows_of(const struct operand *o, uint32_t row0)
{
	struct weight w = o->weight;
	const uint64_t row_bytes = w.bytes / w.dim[0];

	w.dim[0] -= row0;
	w.offset += row0 * row_bytes;
	w.bytes -= row0 * row_bytes;
	w.quant.row0 = row0;
	return w;
}

static void run_case(struct bench *b, const struct quant_case *c, const struct quant *form, bool bias)
{
	struct graph *g = bench_begin(b, "linear %ux%ux%u %s of %ux%u at %u", c->m, c->n, c->k,
				      quant_forms[form->format].name, form->group_rows, form->group,
				      (unsigned)c->offset);
	struct operand x = bench_tensor(b, c->m, c->k, 1);
	struct operand o = bench_quantised(b, form, c->offset, c->row0 + c->n, c->k);
	struct operand v = bench_weight(b, DTYPE_F32, 0, 1, (const uint32_t[]){ c->n });
	const struct weight w = rows_of(&o, c->row0);
	double *y = bench_doubles(b, (size_t)c->m * c->n);

	for (uint32_t i = 0; i < c->m; i++)
		for (uint32_t j = 0; j < c->n; j++) {
			double sum = bias ? v.v[j] : 0;

			for (uint32_t k = 0; k < c->k; k++)
				sum += (double)x.v[i * c->k + k] * o.v[(size_t)(c->row0 + j) * c->k + k];
			y[i * c->n + j] = sum;
		}
	bench_end(b, op_linear(g, x.tensor, &w, bias ? &v.weight : NULL), y,
		  form->format == QUANT_INT8_ROWS && bench_kernels(b)->int8_rows ? bench_kernels(b)->error : BOUND_F32);
}

/* A NaN of x is one in every element of its row, whatever x was made in between. */
static void check_nan(struct bench *b, const struct quant *form)
{
	struct graph *g = bench_begin(b, "linear of a NaN, %s", quant_forms[form->format].name);
	struct operand x = bench_tensor(b, 1, 70, 1);
	struct operand w = bench_quantised(b, form, 0, 9, 70);

	bench_set(b, &x, 69, NAN);
	bench_end_nan(b, op_linear(g, x.tensor, &w.weight, NULL));
}

static void check_refused(struct bench *b)
{
	const struct quant int8 = { QUANT_INT8, 64, 1, DTYPE_BF16, 1 };
	const struct weight short_scales = {
		.rank = 2, .dim = { 2, 64 }, .bytes = 128, .quant = int8, .scale.bytes = 2, .bias.bytes = 4,
	};
	const struct weight no_groups = {
		.rank = 2, .dim = { 2, 64 }, .bytes = 128, .quant.format = QUANT_INT8,
	};
	const struct weight row = {
		.rank = 2, .dim = { 1, 64 }, .bytes = 64, .quant = int8, .scale.bytes = 2, .bias.bytes = 2,
	};
	struct graph *g = bench_begin(b, "scales too short");

	op_linear(g, graph_input(g, 1, 64), &short_scales, NULL);
	bench_end_error(b, "int8 weight of 2 x 64 have other sizes");
	g = bench_begin(b, "no groups");
	op_linear(g, graph_input(g, 1, 64), &no_groups, NULL);
	bench_end_error(b, "int8 weight of 2 x 64 have other sizes");
	g = bench_begin(b, "another op");
	op_pad_rows(g, graph_input(g, 1, 64), &row, 2);
	bench_end_error(b, "no quantised weight");
}

/*
 * Software devices take seconds to compile each form's kernel of the sets for hardware, whose
 * decoding is the others': one case of each form there.
 */
int main(void)
{
	struct bench *b = bench_open();
	const bool few = bench_kernels(b)->checked;

	check_refused(b);
	for (size_t f = 0; f < N_FORMS && !few; f++)
		check_nan(b, &forms[f]);

	for (size_t i = few ? 4 : 0; i < (few ? 5 : sizeof cases / sizeof *cases); i++)
		for (size_t f = 0; f < N_FORMS; f++)
			run_case(b, &cases[i], &forms[f], (i + f) % 2);
	return bench_close(b);
}
