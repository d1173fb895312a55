#ifndef EASEL_RUNNER_OPS_WEIGHT_ACCESS_H
#define EASEL_RUNNER_OPS_WEIGHT_ACCESS_H

#include "runner/graph/graph.h"

/*
 * How a kernel reads a weight where it lies (shaders/lib/weight.glsl): its dtype code,
 * the form of access that its address and row length allow, and the view for it.
 */
struct weight_access {
	uint32_t dtype;                         /* DTYPE_* of weight.glsl; 0: no weight; 16 and above: quantised */
	uint32_t mode;                          /* WIDE16, WIDE8, SCALAR */
	enum vk_format format;
	uint32_t stride;                        /* texels of one row; quantised: 1, rows are counted */
};

/* PUSH_QUANT of shaders/lib/push.glsl. */
struct push_quant {
	uint32_t data, scale, bias;             /* bytes before them in their first words */
	uint32_t row_bytes, group, group_rows, row0;
	float global;
};
struct push_quant weight_access_quant(const struct weight *w);
/* Q_SCALE of shaders/lib/quant.glsl. */
uint32_t weight_access_scale(const struct weight *w);

bool weight_given(const struct weight *w);      /* not NULL, rank above 0 */
/* Rows of the last dimension, eight elements at a time: matrices and kernels. */
struct weight_access weight_access_rows(const struct weight *w);
/* A vector, four elements at a time. */
struct weight_access weight_access_quads(const struct weight *w);
/* A vector, one element at a time. */
struct weight_access weight_access_single(const struct weight *w);

#endif
