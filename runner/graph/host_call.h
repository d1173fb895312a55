#ifndef EASEL_RUNNER_GRAPH_HOST_CALL_H
#define EASEL_RUNNER_GRAPH_HOST_CALL_H

#include "runner/graph/graph.h"

/* For an op's run(): computes all rows of node->out, in this thread and the pool's. */
struct host_call {
	const struct node *node;
	const float *in[NODE_MAX_IN];           /* first rows; row stride tensor_stride() */
	const void *weights[NODE_MAX_WEIGHTS];  /* as stored, any alignment; NULL: absent */
	struct quant_rows rows;                 /* weights[0], if it is a matrix */
	float *out;
	struct host_pool *pool;
};

#endif
