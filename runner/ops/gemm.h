#ifndef EASEL_RUNNER_OPS_GEMM_H
#define EASEL_RUNNER_OPS_GEMM_H

#include "runner/graph/dispatch.h"
#include "runner/graph/graph.h"

/* What linear and conv3x3 share: the tile of shaders/lib/gemm.glsl. */
enum { GEMM_ROWS_MAX = 128 };   /* every tile's rows divide this */

/*
 * Sets spec constants, formats of weight and bias, and groups for rows x n outputs.
 * Returns the texels of one weight row.
 */
uint32_t gemm_dispatch(const struct node *n, const struct vk_limits *limits, uint32_t rows, uint32_t columns,
		       struct vk_dispatch *d);

#endif
