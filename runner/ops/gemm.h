#ifndef EASEL_RUNNER_OPS_GEMM_H
#define EASEL_RUNNER_OPS_GEMM_H

#include "runner/graph/dispatch.h"
#include "runner/graph/graph.h"

/* What linear and conv3x3 share: tiles of registers (gemm.glsl) or of shared memory (tile.glsl). */
enum { GEMM_ROWS_MAX = 128 };   /* every tile's rows divide this */

enum gemm_form { GEMM_SHUFFLE, GEMM_TILE, GEMM_TILE_F16, GEMM_MATRIX, GEMM_FORMS };

/* One shader for each form: SHADER_<stem>, SHADER_<stem>_tile, ...; and those that decode quantised weights. */
#define GEMM_SHADERS(stem) { SHADER_##stem, SHADER_##stem##_tile, SHADER_##stem##_tile_f16, \
	SHADER_##stem##_tile_matrix }
#define GEMM_QUANT_SHADERS(stem) { SHADER_##stem##_quant, SHADER_##stem##_tile_quant, \
	SHADER_##stem##_tile_f16_quant, SHADER_##stem##_tile_matrix_quant }

/*
 * An op with a function dispatch(node, limits, form, rows, d) for all forms: GEMM_DISPATCHES()
 * makes what its kernels of each form call, GEMM_KERNELS() is their rows in op_class.kernels.
 */
#define GEMM_DISPATCH(dispatch, name, form) \
	static void dispatch##_##name(const struct node *n, const struct vk_limits *limits, uint32_t row0, \
				      uint32_t rows, struct vk_dispatch *d) \
	{ \
		(void)row0; \
		dispatch(n, limits, form, rows, d); \
	}
#define GEMM_DISPATCHES(dispatch) \
	GEMM_DISPATCH(dispatch, shuffle, GEMM_SHUFFLE) \
	GEMM_DISPATCH(dispatch, tile, GEMM_TILE) \
	GEMM_DISPATCH(dispatch, tile_f16, GEMM_TILE_F16) \
	GEMM_DISPATCH(dispatch, matrix, GEMM_MATRIX)
#define GEMM_KERNELS(name) \
	[KERNELS_SHUFFLE] = { .dispatch = name##_shuffle }, \
	[KERNELS_TILE] = { .dispatch = name##_tile }, \
	[KERNELS_TILE_F16] = { .dispatch = name##_tile_f16 }, \
	[KERNELS_MATRIX] = { .dispatch = name##_matrix }

/*
 * Sets spec constants, formats of weight and bias, and groups for rows x n outputs.
 * Returns the texels of one weight row.
 */
uint32_t gemm_dispatch(const struct node *n, const struct vk_limits *limits, enum gemm_form form, uint32_t rows,
		       uint32_t columns, struct vk_dispatch *d);

#endif
