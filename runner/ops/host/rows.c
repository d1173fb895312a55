/*
 * Cuts the rows of a node into tasks. Owner's thread.
 */
#include "runner/ops/host/rows.h"

#include "runner/host/widen.h"

enum { TASK_FLOATS = 64 << 10, TASKS_A_THREAD = 4 };

struct rows_job {
	const struct host_call *call;
	rows_task task;
	uint32_t rows;                          /* a task */
};

static void one_task(const void *context, struct host_worker *w, uint64_t i)
{
	const struct rows_job *j = context;
	const uint32_t all = j->call->node->out.rows, row0 = (uint32_t)i * j->rows;

	j->task(j->call, w, row0, smaller(j->rows, all - row0));
}

void host_rows(const struct host_call *c, rows_task task)
{
	const uint32_t all = c->node->out.rows, threads = host_pool_threads(c->pool);
	uint32_t rows = TASK_FLOATS / tensor_stride(c->node->out);
	struct rows_job job = { .call = c, .task = task };

	if (rows > all / (TASKS_A_THREAD * threads) && (uint64_t)all * c->node->out.cols > TASK_FLOATS)
		rows = all / (TASKS_A_THREAD * threads);
	job.rows = rows ? rows : 1;
	host_run(c->pool, ceil_div(all, job.rows), one_task, &job);
}

const float *host_vector(const struct host_call *c, unsigned weight, unsigned slot)
{
	const struct weight *w = c->node->weights[weight];
	float *v;
	size_t n = 1;

	if (!c->weights[weight])
		return NULL;
	for (unsigned i = 0; i < w->rank; i++)
		n *= w->dim[i];
	v = host_shared(c->pool, slot, n * sizeof *v);
	if (v)
		host_widen(w->dtype, c->weights[weight], v, n);
	return v;
}

uint32_t host_panel_rows(const struct host_call *c, uint32_t most, uint32_t multiple)
{
	const uint32_t share = c->node->out.cols / (2 * host_pool_threads(c->pool));
	uint32_t rows = smaller(share, most);

	rows -= rows % multiple;
	return rows ? rows : multiple;
}

void host_add_bias(float *y, const float *bias, uint32_t rows, uint32_t n, size_t stride)
{
	for (uint32_t i = 0; i < rows; i++, y += stride)
		for (uint32_t j = 0; j < n; j++)
			y[j] += bias[j];
}
