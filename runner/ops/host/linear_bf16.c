/*
 * y = x W^T + b with operands in bfloat16: W is read where it lies, the rows of x are
 * rounded once for all panels. For processors that multiply such pairs at twice the rate.
 */
#include "runner/host/matmul.h"
#include "runner/host/widen.h"
#include "runner/ops/host/host_ops.h"
#include "runner/ops/host/rows.h"

enum {
	PANEL_ROWS = 960, ROW_STEP = 48,        /* of W a task; as in linear.c */
	BLOCK_ROWS = 2048,                      /* of x in one call */
	TASK_ROWS = 16,                         /* of x rounded in one task */
	BIAS_SLOT = 0, ROUNDED_SLOT = 1,        /* of shared scratch */
};

struct bf16_job {
	const struct host_call *call;
	const float *bias;
	uint16_t *x;                            /* [rows, k] */
	uint32_t panel;
};

static void round_rows(const void *context, struct host_worker *w, uint64_t i)
{
	const struct bf16_job *j = context;
	const T x = j->call->node->in[0];
	const uint32_t first = (uint32_t)i * TASK_ROWS, end = smaller(first + TASK_ROWS, x.rows);

	(void)w;
	for (uint32_t r = first; r < end; r++)
		host_round_bf16(host_in(j->call, 0, r), j->x + (size_t)r * x.cols, x.cols);
}

static void one_panel(const void *context, struct host_worker *w, uint64_t i)
{
	const struct bf16_job *j = context;
	const struct node *n = j->call->node;
	const uint32_t col0 = (uint32_t)i * j->panel, cols = smaller(j->panel, n->out.cols - col0);
	const size_t k = n->in[0].cols;

	for (uint32_t row0 = 0; row0 < n->out.rows && !host_stopped(w); row0 += BLOCK_ROWS) {
		const uint32_t rows = smaller(BLOCK_ROWS, n->out.rows - row0);
		float *y = host_out(j->call, row0) + col0;

		host_matmul_bf16(w, &(struct host_matmul_bf16){
			.m = rows, .n = cols, .k = (uint32_t)k, .a = j->x + row0 * k,
			.b = (const uint16_t *)j->call->rows.data + col0 * k,
			.c = y, .ldc = tensor_stride(n->out),
		});
		if (j->bias)
			host_add_bias(y, j->bias + col0, rows, cols, tensor_stride(n->out));
	}
}

void host_linear_bf16(const struct host_call *c)
{
	const struct node *n = c->node;
	struct bf16_job job = { .call = c, .panel = host_panel_rows(c, PANEL_ROWS, ROW_STEP) };

	if (c->rows.quant.format != QUANT_NONE || c->rows.dtype != DTYPE_BF16 || (uintptr_t)c->rows.data % 2) {
		host_linear(c);
		return;
	}
	job.bias = host_vector(c, 1, BIAS_SLOT);
	job.x = host_shared(c->pool, ROUNDED_SLOT, (size_t)n->out.rows * n->in[0].cols * sizeof *job.x);
	if (!job.x)
		return;
	host_run(c->pool, ceil_div(n->out.rows, TASK_ROWS), round_rows, &job);
	host_run(c->pool, ceil_div(n->out.cols, job.panel), one_panel, &job);
}
