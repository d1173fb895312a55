#ifndef EASEL_RUNNER_OPS_HOST_ROWS_H
#define EASEL_RUNNER_OPS_HOST_ROWS_H

#include "runner/graph/host_call.h"
#include "runner/ops/groups.h"

/*
 * Row by row work: pieces of rows that take a core about a tenth of a millisecond, and
 * of which there are some for every thread.
 */
typedef void (*rows_task)(const struct host_call *c, struct host_worker *w, uint32_t row0, uint32_t rows);
void host_rows(const struct host_call *c, rows_task task);

/* Weight rows of a task of a matrix product: some tasks for every thread, at most `most` rows. */
uint32_t host_panel_rows(const struct host_call *c, uint32_t most, uint32_t multiple);
/* y [rows, n] += bias [n] */
void host_add_bias(float *y, const float *bias, uint32_t rows, uint32_t n, size_t stride);

/* A weight vector as float32, in shared slot; NULL: absent, or the run has failed. */
const float *host_vector(const struct host_call *c, unsigned weight, unsigned slot);

static inline const float *host_in(const struct host_call *c, unsigned i, uint32_t row)
{
	return c->in[i] + (size_t)row * tensor_stride(c->node->in[i]);
}

static inline float *host_out(const struct host_call *c, uint32_t row)
{
	return c->out + (size_t)row * tensor_stride(c->node->out);
}

#endif
