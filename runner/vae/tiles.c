/*
 * Work in tiles: they overlap by a quarter, each is blended with the one above and then
 * with the one to the left, as diffusers decodes and encodes. Owns the results of two
 * rows of tiles while it runs. GPU thread (by way of its callback); the arithmetic needs
 * none.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runner/vae/tiles.h"

struct part {
	float *data;                            /* [h, w, channels] */
	uint32_t h, w;                          /* in results */
};

struct tiling {
	const struct tile_grid *grid;
	uint32_t stride;                        /* positions */
	uint32_t blend;                         /* results */
	uint32_t n_cols;
	struct part *above, *row;               /* n_cols tiles each */
	float *out;
};

static float *at(const struct tiling *t, const struct part *p, uint32_t y, uint32_t x)
{
	return p->data + ((size_t)y * p->w + x) * t->grid->channels;
}

static void mix(const struct tiling *t, float *to, const float *from, float share)
{
	uint32_t c;

	for (c = 0; c < t->grid->channels; c++)
		to[c] = from[c] * (1 - share) + to[c] * share;
}

/* The last rows of above fade into the first rows of p. */
static void blend_down(const struct tiling *t, const struct part *above, const struct part *p)
{
	uint32_t y, x, extent = min_u32(t->blend, min_u32(above->h, p->h));

	for (y = 0; y < extent; y++)
		for (x = 0; x < p->w; x++)
			mix(t, at(t, p, y, x), at(t, above, above->h - extent + y, x),
			    (float)y / (float)extent);
}

static void blend_right(const struct tiling *t, const struct part *left, const struct part *p)
{
	uint32_t y, x, extent = min_u32(t->blend, min_u32(left->w, p->w));

	for (y = 0; y < p->h; y++)
		for (x = 0; x < extent; x++)
			mix(t, at(t, p, y, x), at(t, left, y, left->w - extent + x),
			    (float)x / (float)extent);
}

/* What the next tile does not draw over: all of the last ones, the stride of the others. */
static void keep(const struct tiling *t, const struct tile *tile, const struct part *p)
{
	const struct tile_grid *grid = t->grid;
	uint32_t kept = t->stride * grid->scale, y;
	uint32_t h = min_u32(p->h, kept), w = min_u32(p->w, kept);

	for (y = 0; y < h; y++) {
		size_t row = (size_t)(tile->y * grid->scale + y) * grid->w * grid->scale;

		memcpy(t->out + (row + tile->x * grid->scale) * grid->channels, at(t, p, y, 0),
		       (size_t)w * grid->channels * sizeof *t->out);
	}
}

static int one_tile(struct tiling *t, const struct tile *tile, uint32_t col, tile_work work,
		    void *context, struct err *err)
{
	struct part *p = &t->row[col];
	int r;

	p->h = tile->h * t->grid->scale;
	p->w = tile->w * t->grid->scale;
	p->data = calloc((size_t)p->h * p->w, t->grid->channels * sizeof *p->data);
	if (!p->data)
		return err_set(err, -ENOMEM, "tiles: out of memory");
	r = work(context, tile, p->data, err);
	if (r < 0)
		return r;
	if (t->above[col].data)
		blend_down(t, &t->above[col], p);
	if (col > 0)
		blend_right(t, &t->row[col - 1], p);
	keep(t, tile, p);
	return 0;
}

static void free_row(struct part *row, uint32_t n)
{
	uint32_t i;

	for (i = 0; row && i < n; i++) {
		free(row[i].data);
		row[i].data = NULL;
	}
}

/* The row just done is the next one's upper neighbour. */
static void next_row(struct tiling *t)
{
	struct part *done = t->row;

	free_row(t->above, t->n_cols);
	t->row = t->above;
	t->above = done;
}

static int all_rows(struct tiling *t, tile_work work, void *context, struct err *err)
{
	const struct tile_grid *grid = t->grid;
	uint32_t y, col;
	int r;

	for (y = 0; y < grid->h; y += t->stride) {
		for (col = 0; col < t->n_cols; col++) {
			uint32_t x = col * t->stride;
			struct tile tile = {
				.y = y, .x = x,
				.h = min_u32(grid->side, grid->h - y),
				.w = min_u32(grid->side, grid->w - x),
			};

			r = one_tile(t, &tile, col, work, context, err);
			if (r < 0)
				return r;
		}
		next_row(t);
	}
	return 0;
}

int tiles_run(const struct tile_grid *grid, tile_work work, void *context, float *ret,
	      struct err *err)
{
	const uint32_t overlap = grid->side / 4;
	struct tiling t = {
		.grid = grid, .stride = grid->side - overlap, .blend = overlap * grid->scale,
		.out = ret,
	};
	int r = -ENOMEM;

	if (grid->h <= grid->side && grid->w <= grid->side)
		return work(context, &(struct tile){ .h = grid->h, .w = grid->w }, ret, err);
	t.n_cols = (grid->w + t.stride - 1) / t.stride;
	t.above = calloc(t.n_cols, sizeof *t.above);
	t.row = calloc(t.n_cols, sizeof *t.row);
	if (t.above && t.row)
		r = all_rows(&t, work, context, err);
	else
		err_set(err, r, "tiles: out of memory");
	free_row(t.above, t.n_cols);
	free_row(t.row, t.n_cols);
	free(t.above);
	free(t.row);
	return r;
}
