/*
 * y = x W^T + b in integers, for a W of signed bytes: the rows of x are made such on the
 * way, some thousands at a time, by all threads; then panels of W are multiplied, and the
 * sums scaled where they lie.
 */
#include <math.h>

#include "runner/host/int8.h"
#include "runner/host/widen.h"
#include "runner/ops/host/host_ops.h"
#include "runner/ops/host/rows.h"

enum {
	BLOCK_ROWS = 4096,                      /* of x as bytes at once */
	TASK_ROWS = 16,                         /* of x made bytes in one task */
	PANEL_ROWS = 480, ROW_STEP = 48,        /* of W a task; as in linear.c */
	CALL_ROWS = 384,                        /* of sums that stay in a cache until they are scaled */
	BIAS_SLOT = 0, CODES_SLOT = 1, SCALES_SLOT = 2,         /* of shared scratch */
};

struct int8_job {
	const struct host_call *call;
	const float *bias;
	int8_t *codes;                          /* of rows [row0, row0 + rows) of x */
	float *scales;
	uint32_t row0, rows;
	uint32_t panel, step;                   /* rows of W a task, of x a call */
};

static void make_codes(const void *context, struct host_worker *w, uint64_t i)
{
	const struct int8_job *j = context;
	const size_t k = j->call->node->in[0].cols;
	const uint32_t first = (uint32_t)i * TASK_ROWS, end = smaller(first + TASK_ROWS, j->rows);

	(void)w;
	for (uint32_t r = first; r < end; r++)
		j->scales[r] = host_int8_row(host_in(j->call, 0, j->row0 + r), j->codes + r * k, k);
}

/* The scales of W's rows, which may lie anywhere. */
static const float *column_scales(const struct int8_job *j, struct host_worker *w, uint32_t col0, uint32_t cols)
{
	const struct quant_rows *q = &j->call->rows;
	const size_t size = dtype_size(q->quant.scale_dtype);
	float *scales = host_scratch(w, 0, cols * sizeof *scales);

	if (scales)
		host_widen(q->quant.scale_dtype, (const unsigned char *)q->scale + (q->quant.row0 + col0) * size,
			   scales, cols);
	return scales;
}

static void one_panel(const void *context, struct host_worker *w, uint64_t i)
{
	const struct int8_job *j = context;
	const struct node *n = j->call->node;
	const uint32_t col0 = (uint32_t)i * j->panel, cols = smaller(j->panel, n->out.cols - col0);
	const size_t k = n->in[0].cols, stride = tensor_stride(n->out);
	const float *scales = column_scales(j, w, col0, cols);

	for (uint32_t r = 0; scales && r < j->rows && !host_stopped(w); r += j->step) {
		const uint32_t rows = smaller(j->step, j->rows - r);
		float *y = host_out(j->call, j->row0 + r) + col0;

		host_int8_matmul(w, &(struct host_int8_matmul){
			.m = rows, .n = cols, .k = n->in[0].cols, .a = j->codes + r * k, .lda = k,
			.b = (const int8_t *)j->call->rows.data + col0 * k, .ldb = k, .c = y, .ldc = stride,
		});
		for (uint32_t row = 0; row < rows; row++)
			host_int8_finish(y + row * stride, j->scales[r + row], scales,
					 j->bias ? j->bias + col0 : NULL, cols);
	}
}

void host_linear_int8(const struct host_call *c)
{
	const struct node *n = c->node;
	const uint32_t most = smaller(n->out.rows, BLOCK_ROWS);
	struct int8_job job = { .call = c, .panel = host_panel_rows(c, PANEL_ROWS, ROW_STEP) };

	if (c->rows.quant.format != QUANT_INT8_ROWS || n->in[0].cols > HOST_INT8_COLS) {
		host_linear(c);
		return;
	}
	job.bias = host_vector(c, 1, BIAS_SLOT);
	job.codes = host_shared(c->pool, CODES_SLOT, (size_t)most * n->in[0].cols);
	job.scales = host_shared(c->pool, SCALES_SLOT, most * sizeof *job.scales);
	for (; job.codes && job.scales && job.row0 < n->out.rows; job.row0 += job.rows) {
		job.rows = smaller(most, n->out.rows - job.row0);
		job.step = ceil_div(job.rows, ceil_div(job.rows, CALL_ROWS));
		host_run(c->pool, ceil_div(job.rows, TASK_ROWS), make_codes, &job);
		host_run(c->pool, ceil_div(n->out.cols, job.panel), one_panel, &job);
	}
}
