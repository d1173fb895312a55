/*
 * Tiled decoding: tiles overlap by a quarter, each is blended with the one above and
 * then with the one to the left, as diffusers does it. Owns the pixels of two rows of
 * tiles while it runs. GPU thread (by way of its callback); the arithmetic needs none.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runner/vae/tiles.h"

enum { RGB = 3 };

struct pixels {
	float *data;                            /* [h, w, 3] */
	uint32_t h, w;
};

struct tiling {
	uint32_t side, stride, blend;           /* latents; blend in pixels */
	uint32_t h, w;                          /* of the latent */
	uint32_t n_cols;
	struct pixels *above, *row;             /* n_cols tiles each */
	float *out;
};

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static size_t at(const struct pixels *p, uint32_t y, uint32_t x)
{
	return ((size_t)y * p->w + x) * RGB;
}

static void mix(float *to, const float *from, float share)
{
	int c;

	for (c = 0; c < RGB; c++)
		to[c] = from[c] * (1 - share) + to[c] * share;
}

/* The last rows of above fade into the first rows of p. */
static void blend_down(const struct pixels *above, struct pixels *p, uint32_t blend)
{
	uint32_t y, x, extent = min_u32(blend, min_u32(above->h, p->h));

	for (y = 0; y < extent; y++)
		for (x = 0; x < p->w; x++)
			mix(p->data + at(p, y, x), above->data + at(above, above->h - extent + y,
								    x), (float)y / (float)extent);
}

static void blend_right(const struct pixels *left, struct pixels *p, uint32_t blend)
{
	uint32_t y, x, extent = min_u32(blend, min_u32(left->w, p->w));

	for (y = 0; y < p->h; y++)
		for (x = 0; x < extent; x++)
			mix(p->data + at(p, y, x), left->data + at(left, y, left->w - extent + x),
			    (float)x / (float)extent);
}

/* What the next tile does not draw over: all of the last ones, the stride of the others. */
static void keep(const struct tiling *t, const struct tile *tile, const struct pixels *p)
{
	uint32_t kept = t->stride * VAE_SCALE, y;
	uint32_t h = min_u32(p->h, kept), w = min_u32(p->w, kept);

	for (y = 0; y < h; y++) {
		size_t row = (size_t)(tile->y * VAE_SCALE + y) * t->w * VAE_SCALE;

		memcpy(t->out + (row + tile->x * VAE_SCALE) * RGB, p->data + at(p, y, 0),
		       w * RGB * sizeof *t->out);
	}
}

static int decode_tile(struct tiling *t, const struct tile *tile, uint32_t col,
		       tile_decode decode, void *context, struct err *err)
{
	struct pixels *p = &t->row[col];
	int r;

	p->h = tile->h * VAE_SCALE;
	p->w = tile->w * VAE_SCALE;
	p->data = calloc((size_t)p->h * p->w, RGB * sizeof *p->data);
	if (!p->data)
		return err_set(err, -ENOMEM, "decoding: out of memory");
	r = decode(context, tile, p->data, err);
	if (r < 0)
		return r;
	if (t->above[col].data)
		blend_down(&t->above[col], p, t->blend);
	if (col > 0)
		blend_right(&t->row[col - 1], p, t->blend);
	keep(t, tile, p);
	return 0;
}

static void free_row(struct pixels *row, uint32_t n)
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
	struct pixels *done = t->row;

	free_row(t->above, t->n_cols);
	t->row = t->above;
	t->above = done;
}

static int decode_rows(struct tiling *t, tile_decode decode, void *context, struct err *err)
{
	uint32_t y, col;
	int r;

	for (y = 0; y < t->h; y += t->stride) {
		for (col = 0; col < t->n_cols; col++) {
			uint32_t x = col * t->stride;
			struct tile tile = {
				.y = y, .x = x,
				.h = min_u32(t->side, t->h - y), .w = min_u32(t->side, t->w - x),
			};

			r = decode_tile(t, &tile, col, decode, context, err);
			if (r < 0)
				return r;
		}
		next_row(t);
	}
	return 0;
}

int tiles_decode(uint32_t side, uint32_t h, uint32_t w, tile_decode decode, void *context,
		 float *pixels, struct err *err)
{
	struct tiling t = {
		.side = side, .stride = side - side / 4, .blend = side / 4 * VAE_SCALE,
		.h = h, .w = w, .out = pixels,
	};
	int r = -ENOMEM;

	if (h <= side && w <= side)
		return decode(context, &(struct tile){ .h = h, .w = w }, pixels, err);
	t.n_cols = (w + t.stride - 1) / t.stride;
	t.above = calloc(t.n_cols, sizeof *t.above);
	t.row = calloc(t.n_cols, sizeof *t.row);
	if (t.above && t.row)
		r = decode_rows(&t, decode, context, err);
	else
		err_set(err, r, "decoding: out of memory");
	free_row(t.above, t.n_cols);
	free_row(t.row, t.n_cols);
	free(t.above);
	free(t.row);
	return r;
}
