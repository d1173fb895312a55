/*
 * The tile of the matrix product for a device and a size, and its dispatch. Pure.
 */
#include "runner/ops/gemm.h"
#include "runner/ops/groups.h"
#include "runner/ops/weight_access.h"

/* Spec 1 and 2 of the kernel, its threads, and the outputs of a workgroup. */
struct tile {
	uint32_t spec_rows, spec_cols, threads, rows, cols;
};

/* As many outputs as registers hold: 48 to 96 accumulators a lane. */
static struct tile shuffle_tile(const struct vk_limits *l, uint32_t rows)
{
	const uint32_t lanes = l->subgroup_size;
	uint32_t row_groups = 1, col_groups = 3;

	(void)rows;
	if (lanes <= 4)
		row_groups = 4;
	else if (lanes <= 8)
		row_groups = 2;
	else if (lanes > 16)
		col_groups = lanes <= 32 ? 2 : 1;
	return (struct tile){ row_groups, col_groups, lanes, row_groups * lanes, col_groups * lanes };
}

/* 128 threads, 16 of them along the columns with 8 outputs each, as tile_f32.glsl divides them. */
static struct tile shared_tile(const struct vk_limits *l, uint32_t rows)
{
	enum { THREADS = 128, ACROSS = 16, DOWN = THREADS / ACROSS, MOST = 8 };
	uint32_t own = 1;

	(void)l;
	while (own < MOST && own * DOWN < rows)
		own *= 2;
	return (struct tile){ own, MOST, THREADS, own * DOWN, MOST * ACROSS };
}

/* Four subgroups, two by two; a quarter of a tile is a whole number of fragments, at most 32 a side. */
static struct tile matrix_tile(const struct vk_limits *l, uint32_t rows)
{
	const uint32_t side = l->subgroup_size < 32 ? 64 : 128;         /* 64 to 128 accumulators a lane */
	uint32_t down = 2 * l->matrix.m;

	while (down < side && down < rows)
		down *= 2;
	return (struct tile){ down, side, 4 * l->subgroup_size, down, side };
}

static struct tile (*const tiles[GEMM_FORMS])(const struct vk_limits *l, uint32_t rows) = {
	[GEMM_SHUFFLE] = shuffle_tile, [GEMM_TILE] = shared_tile, [GEMM_TILE_F16] = shared_tile,
	[GEMM_MATRIX] = matrix_tile,
};

uint32_t gemm_dispatch(const struct node *n, const struct vk_limits *limits, enum gemm_form form, uint32_t rows,
		       uint32_t columns, struct vk_dispatch *d)
{
	const struct tile tile = tiles[form](limits, rows);
	const struct weight_access w = weight_access_rows(n->weights[0]);
	const struct weight_access b = weight_access_single(n->weights[1]);
	const bool quantised = weight_quantised(n->weights[0]);

	d->spec[1] = tile.spec_rows;
	d->spec[2] = tile.spec_cols;
	d->spec[3] = w.dtype;
	d->spec[4] = w.mode;
	d->spec[5] = b.dtype;
	d->spec[6] = quantised ? weight_access_scale(n->weights[0]) : 0;
	d->spec[8] = tile.threads;
	d->spec[9] = limits->matrix.m;
	d->spec[10] = limits->matrix.n;
	d->spec[11] = limits->matrix.k;
	d->n_spec = form == GEMM_MATRIX ? 12 : form != GEMM_SHUFFLE ? 9 : quantised ? 7 : 6;
	d->inputs[1].format = w.format;
	if (b.dtype)
		d->inputs[quantised ? 4 : 2].format = b.format;         /* behind three arrays, or one */
	row_groups(d->groups, ceil_div(rows, tile.rows), ceil_div(columns, tile.cols));
	return w.stride;
}
