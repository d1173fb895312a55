/*
 * Element by element functions, and the copies of rows and columns.
 */
#include <math.h>
#include <string.h>

#include "runner/host/vector.h"
#include "runner/ops/host/host_ops.h"
#include "runner/ops/host/rows.h"
#include "runner/ops/params.h"

/* y = f(a, b, c) */
typedef void (*row_function)(const float *a, const float *b, const float *c, float *y, uint32_t n);

#define ROW_FUNCTION(name, value) \
	VECTOR static void name(const float *a, const float *b, const float *c, float *y, uint32_t n) \
	{ \
		(void)b; \
		(void)c; \
		IN_PLACE \
		for (uint32_t i = 0; i < n; i++) \
			y[i] = value; \
	}

ROW_FUNCTION(add, a[i] + b[i])
ROW_FUNCTION(scale1, a[i] * (1 + b[i]))
ROW_FUNCTION(mul_add, a[i] + b[i] * c[i])
ROW_FUNCTION(swiglu, vector_silu(a[i]) * b[i])
ROW_FUNCTION(silu, vector_silu(a[i]))
ROW_FUNCTION(gate_add, a[i] + b[i] * c[i])

static void copy(const float *a, const float *b, const float *c, float *y, uint32_t n)
{
	(void)b;
	(void)c;
	memcpy(y, a, n * sizeof *y);
}

static const row_function functions[] = {
	[ELEMENTWISE_COPY] = copy, [ELEMENTWISE_ADD] = add, [ELEMENTWISE_SCALE1] = scale1,
	[ELEMENTWISE_GATE_ADD] = gate_add, [ELEMENTWISE_SWIGLU] = swiglu, [ELEMENTWISE_SILU] = silu,
	[ELEMENTWISE_MUL_ADD] = mul_add,
};

static const float *tanh_of(struct host_worker *w, const float *x, uint32_t n)
{
	float *t = host_scratch(w, 0, n * sizeof *t);

	for (uint32_t i = 0; t && i < n; i++)
		t[i] = tanhf(x[i]);
	return t;
}

static void elementwise_rows(const struct host_call *c, struct host_worker *w, uint32_t row0, uint32_t rows)
{
	const struct elementwise_params *p = node_params(c->node);
	const struct node *n = c->node;
	const bool gate = p->function == ELEMENTWISE_GATE_ADD;
	const float *b = NULL;

	for (uint32_t r = row0; r < row0 + rows; r++) {
		const float *h = n->in[2].id ? host_in(c, 2, r) : NULL;

		/* One row for all is looked at once. */
		if (n->in[1].id && (n->in[1].rows > 1 || !b)) {
			b = host_in(c, 1, n->in[1].rows > 1 ? r : 0);
			b = gate ? tanh_of(w, b, n->out.cols) : b;
			if (!b)
				return;
		}
		functions[p->function](host_in(c, 0, r), b, h, host_out(c, r), n->out.cols);
	}
}

void host_elementwise(const struct host_call *c)
{
	host_rows(c, elementwise_rows);
}

static void copy_cols_rows(const struct host_call *c, struct host_worker *w, uint32_t row0, uint32_t rows)
{
	const struct copy_cols_params *p = node_params(c->node);

	(void)w;
	for (uint32_t r = row0; r < row0 + rows; r++)
		memcpy(host_out(c, r) + p->col0, host_in(c, 0, r), c->node->in[0].cols * sizeof(float));
}

void host_copy_cols(const struct host_call *c)
{
	host_rows(c, copy_cols_rows);
}

static void fill_rows(const struct host_call *c, struct host_worker *w, uint32_t row0, uint32_t rows)
{
	(void)w;
	for (uint32_t r = row0; r < row0 + rows; r++)
		dtype_to_f32(c->node->weights[0]->dtype, c->weights[0], host_out(c, r), c->node->out.cols);
}

void host_fill_rows(const struct host_call *c)
{
	host_rows(c, fill_rows);
}
