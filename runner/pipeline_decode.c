/*
 * Latent -> pixels by the VAE, whole or in tiles; which of the two is settled before
 * anything runs. GPU thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "runner/pipeline_private.h"
#include "runner/vae/tiles.h"

/* Sides of tiles in eighths, tried in this order when the whole does not fit. */
static const uint32_t tile_sides[] = { 128, 64 };
enum { N_TILE_SIDES = sizeof tile_sides / sizeof tile_sides[0] };

/* ---- the decoder: shape { h, w } ---- */

static int build_decode(const void *model, struct stage *s)
{
	const struct family_parts *parts = model;

	s->out = parts->family->vae->build_decode(parts->vae, s->graph, s->shape[0], s->shape[1],
						  &s->in[0]);
	return 0;
}

static const struct stage_kind decode_kind = { .build = build_decode };

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static int plan_side(struct pipeline *p, uint32_t side, uint32_t h, uint32_t w, uint64_t *ret,
		     struct err *err)
{
	const uint32_t shape[3] = { min_u32(h, side), min_u32(w, side) };

	return stage_plan(&p->shop, &decode_kind, &p->parts, shape, ret, err);
}

int decode_plan(struct pipeline *p, uint32_t h, uint32_t w, uint32_t *ret_side, uint64_t *ret_bytes,
		struct err *err)
{
	const uint64_t most = vk_limits(p->shop.vk)->arena_size;
	const uint32_t pack = vae_pack(p->parts.family->vae);
	uint32_t side = h > w ? h : w;
	unsigned i = 0;
	int r;

	for (;;) {
		r = plan_side(p, side, h, w, ret_bytes, err);
		if (r < 0 || *ret_bytes <= most)
			break;
		while (i < N_TILE_SIDES && tile_sides[i] / pack >= side)
			i++;
		if (i == N_TILE_SIDES)
			break;                  /* building it will say what is missing */
		side = tile_sides[i] / pack;
	}
	*ret_side = side;
	return r;
}

struct decoding {
	struct pipeline *p;
	const float *latent;                    /* [channels, h, w] */
	uint32_t h, w;
};

/* [channels, h, w] of one tile, the caller's to free. */
static float *cut_tile(const struct decoding *d, const struct tile *t)
{
	const struct family_parts *parts = &d->p->parts;
	uint32_t c, y, channels = parts->family->vae->latent_channels(parts->vae);
	float *cut = calloc((size_t)channels * t->h, t->w * sizeof *cut);

	for (c = 0; cut && c < channels; c++)
		for (y = 0; y < t->h; y++)
			memcpy(cut + ((size_t)c * t->h + y) * t->w,
			       d->latent + ((size_t)c * d->h + t->y + y) * d->w + t->x,
			       t->w * sizeof *cut);
	return cut;
}

static int decode_tile(void *context, const struct tile *t, float *pixels, struct err *err)
{
	struct decoding *d = context;
	const struct family_parts *parts = &d->p->parts;
	const uint32_t shape[3] = { t->h, t->w };
	struct stage *s = &d->p->decode;
	float *latent;
	int r;

	r = stage_ready(&d->p->shop, s, &decode_kind, parts, shape, err);
	if (r < 0)
		return r;
	latent = cut_tile(d, t);
	if (!latent || parts->family->vae->feed_decode(parts->vae, s->graph, s->in[0], latent, t->h,
							     t->w) < 0)
		r = err_set(err, -ENOMEM, "decoding: out of memory");
	free(latent);
	if (r == 0)
		r = stage_run(&d->p->shop, s, "vae.", err);
	if (r == 0)
		graph_read(s->graph, s->out, pixels);
	return r;
}

int decode_latent(struct pipeline *p, const float *latent, uint32_t h, uint32_t w, float *pixels,
		  struct err *err)
{
	struct decoding d = { .p = p, .latent = latent, .h = h, .w = w };
	struct tile_grid grid = {
		.h = h, .w = w, .scale = p->parts.family->vae->scale, .channels = 3,
	};
	size_t n = (size_t)h * grid.scale * w * grid.scale * 3;
	uint64_t bytes;
	int r;

	r = decode_plan(p, h, w, &grid.side, &bytes, err);
	if (r < 0)
		return r;
	if (grid.side < h || grid.side < w)
		log_debug("decoding %ux%u latents in tiles of %u", w, h, grid.side);
	r = tiles_run(&grid, decode_tile, &d, pixels, err);
	if (r < 0)
		return r;
	workshop_tap(&p->shop, pixels, n, "vae_out");
	return check_finite(pixels, n, "the decoder's results", err);
}
