/*
 * y = x W^T + b: blocks of weight rows are decoded into a thread's scratch, small enough
 * to stay in its cache, and multiplied from there.
 */
#include "runner/host/matmul.h"
#include "runner/ops/host/host_ops.h"
#include "runner/ops/host/rows.h"

enum {
	PANEL_BYTES = 8 << 20,                  /* of decoded weights a thread */
	PANEL_ROWS = 480,                       /* more brings nothing (docs/PERFORMANCE.md) */
	ROW_STEP = 48,                          /* what the library's own tiles divide */
	BLOCK_ROWS = 2048,                      /* of x in one call: between two looks at a cancel */
};

struct linear_job {
	const struct host_call *call;
	const float *bias;
	uint32_t panel;                         /* weight rows a task */
};

static uint32_t panel_rows(const struct host_call *c)
{
	const uint32_t fit = (uint32_t)(PANEL_BYTES / sizeof(float)) / c->node->in[0].cols;

	return host_panel_rows(c, smaller(PANEL_ROWS, fit), ROW_STEP);
}

/* The rows of a weight as float32: where they lie, or decoded. */
static const float *weight_rows(const struct linear_job *j, struct host_worker *w, uint32_t row0, uint32_t rows)
{
	const struct quant_rows *q = &j->call->rows;
	const float *stored = q->data;
	float *panel;

	if (q->quant.format == QUANT_NONE && q->dtype == DTYPE_F32 && (uintptr_t)stored % sizeof(float) == 0)
		return stored + (size_t)row0 * q->cols;
	panel = host_scratch(w, 0, rows * (size_t)q->cols * sizeof *panel);
	for (uint32_t i = 0; panel && i < rows; i++)
		quant_decode(q, row0 + i, 0, q->cols, panel + (size_t)i * q->cols);
	return panel;
}

static void one_panel(const void *context, struct host_worker *w, uint64_t i)
{
	const struct linear_job *j = context;
	const struct node *n = j->call->node;
	const uint32_t col0 = (uint32_t)i * j->panel, cols = smaller(j->panel, n->out.cols - col0);
	const float *b = weight_rows(j, w, col0, cols);

	for (uint32_t row0 = 0; b && row0 < n->out.rows && !host_stopped(w); row0 += BLOCK_ROWS) {
		const uint32_t rows = smaller(BLOCK_ROWS, n->out.rows - row0);
		float *y = host_out(j->call, row0) + col0;

		host_matmul(w, &(struct host_matmul){
			.m = rows, .n = cols, .k = n->in[0].cols,
			.a = host_in(j->call, 0, row0), .lda = tensor_stride(n->in[0]),
			.b = b, .ldb = n->in[0].cols, .transposed = true,
			.c = y, .ldc = tensor_stride(n->out), .scale = 1,
		});
		if (j->bias)
			host_add_bias(y, j->bias + col0, rows, cols, tensor_stride(n->out));
	}
}

void host_linear(const struct host_call *c)
{
	const struct linear_job job = {
		.call = c, .bias = host_vector(c, 1, 0), .panel = panel_rows(c),
	};

	host_run(c->pool, ceil_div(c->node->out.cols, job.panel), one_panel, &job);
}
