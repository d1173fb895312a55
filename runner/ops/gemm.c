/*
 * The tile of the matrix product for a device's lane count, and its dispatch. Pure.
 */
#include "runner/ops/gemm.h"
#include "runner/ops/groups.h"
#include "runner/ops/weight_access.h"

struct tile {
	uint32_t row_groups, col_groups;        /* of lanes each */
};

/* As many outputs as registers hold: 48 to 64 accumulators a lane. */
static struct tile tile_for(uint32_t lanes)
{
	if (lanes <= 4)
		return (struct tile){ 4, 3 };
	if (lanes <= 8)
		return (struct tile){ 2, 3 };
	if (lanes <= 16)
		return (struct tile){ 1, 3 };
	return (struct tile){ 1, lanes <= 32 ? 2 : 1 };
}

uint32_t gemm_dispatch(const struct node *n, const struct vk_limits *limits, uint32_t rows, uint32_t columns,
		       struct vk_dispatch *d)
{
	const struct tile tile = tile_for(limits->subgroup_size);
	const struct weight_access w = weight_access_rows(n->weights[0]);
	const struct weight_access b = weight_access_single(n->weights[1]);
	const bool quantised = weight_quantised(n->weights[0]);

	d->spec[1] = tile.row_groups;
	d->spec[2] = tile.col_groups;
	d->spec[3] = w.dtype;
	d->spec[4] = w.mode;
	d->spec[5] = b.dtype;
	d->spec[6] = quantised ? weight_access_scale(n->weights[0]) : 0;
	d->n_spec = quantised ? 7 : 6;
	d->inputs[1].format = w.format;
	if (b.dtype)
		d->inputs[quantised ? 4 : 2].format = b.format;         /* behind three arrays, or one */
	row_groups(d->groups, ceil_div(rows, tile.row_groups * limits->subgroup_size),
		   ceil_div(columns, tile.col_groups * limits->subgroup_size));
	return w.stride;
}
