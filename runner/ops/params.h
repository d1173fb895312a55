#ifndef EASEL_RUNNER_OPS_PARAMS_H
#define EASEL_RUNNER_OPS_PARAMS_H

#include <stdint.h>

#include "runner/graph/graph.h"

/* What ops keep in node.params, for their shaders' dispatch and their host code. */

struct attention_params {
	uint32_t n_heads, n_kv_heads, causal;
};

struct conv3x3_params {
	uint32_t height, width;                 /* of the output */
	uint32_t shift, stride;                 /* 1: the input is half as large; 2: twice */
	uint32_t prologue;                      /* host only */
};
enum conv3x3_prologue {                         /* what happens to the input on its way */
	CONV3X3_PLAIN,
	CONV3X3_NORM,                           /* group norm by in[1], its statistics */
	CONV3X3_NORM_SILU,
};
enum { CONV3X3_NORM_WEIGHT = 2, CONV3X3_NORM_BIAS = 3 };        /* in node.weights */
extern const struct op_class conv3x3_op;        /* what absorbs a norm */

/*
 * What follows a norm z in the same node. Inputs are then x, row, other; for what a tail
 * does not name the one it names stands in. TAIL_* of shaders/norm.comp.
 */
enum norm_tail {
	NORM_TAIL_NONE,
	NORM_TAIL_ADD,                          /* other + z */
	NORM_TAIL_SCALE1,                       /* z * (1 + row) */
	NORM_TAIL_SCALE1_ADD,                   /* z * (1 + row) + other; other has one row */
	NORM_TAIL_GATE_ADD,                     /* other + tanh(row) * z */
};
struct norm_params {
	float eps;
	uint32_t centered;
	uint32_t tail;
};

enum { GROUP_NORM_CHUNK = 512 };                /* rows of one partial statistic */
struct group_norm_params {
	uint32_t n_rows, groups, channels;      /* merge */
	float eps;
	uint32_t silu;                          /* apply */
};

struct rope_params {
	uint32_t n_heads, halves;
};

/* FUNCTION of shaders/elementwise.comp. */
enum elementwise_function {
	ELEMENTWISE_COPY, ELEMENTWISE_ADD, ELEMENTWISE_SCALE1, ELEMENTWISE_GATE_ADD, ELEMENTWISE_SWIGLU,
	ELEMENTWISE_SILU, ELEMENTWISE_MUL_ADD,
};
struct elementwise_params {
	uint32_t function;
};
extern const struct op_class elementwise_op;    /* what other ops absorb */

struct copy_cols_params {
	uint32_t col0;
};

static inline const void *node_params(const struct node *n)
{
	return n->params.bytes;
}

#endif
