/*
 * Latent to pixels and pixels to latent, in tiles when the device has no room for the
 * whole. GPU thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "runner/pipeline_private.h"
#include "runner/vae/tiles.h"

enum { RGB = 3 };

/*
 * Sides of tiles in eighths, tried in this order when the whole does not fit. Smaller
 * ones show: every tile normalizes by its own statistics.
 */
static const uint32_t tile_sides[] = { 128, 96, 64 };
enum { N_TILE_SIDES = sizeof tile_sides / sizeof tile_sides[0] };

/* ---- both ways: stages of shape { h, w } ---- */

struct passage;

/* One way through the VAE. */
struct way {
	const char *doing;                      /* "decoding": in messages */
	const char *results;                    /* "the decoder's results" */
	struct stage_kind kind;
	/* One tile of what goes in, to the stage's input. 0 or -ENOMEM. */
	int (*feed)(const struct passage *g, struct stage *s, const struct tile *t);
};

struct passage {
	struct pipeline *p;
	const struct way *way;
	struct stage_set *set;
	const float *from;                      /* the whole of what goes in */
	uint32_t h, w;
};

static int plan_side(struct pipeline *p, struct stage_set *set, const struct way *way,
		     uint32_t side, uint32_t h, uint32_t w, uint64_t *ret, struct err *err)
{
	const uint32_t shape[STAGE_DIMS] = { min_u32(h, side), min_u32(w, side) };

	return stage_plan(&p->shop, set, &way->kind, &p->parts, shape, ret, err);
}

/* The widest tile that fits (h or w for the whole), and its arena bytes. */
static int plan(struct pipeline *p, struct stage_set *set, const struct way *way, uint32_t h,
		uint32_t w, uint32_t *ret_side, uint64_t *ret_bytes, struct err *err)
{
	const uint64_t room = vk_limits(p->shop.vk)->arena_size;
	const uint64_t most = p->vae_budget && p->vae_budget < room ? p->vae_budget : room;
	const uint32_t pack = vae_pack(p->parts.family->vae);
	uint32_t side = h > w ? h : w;
	unsigned i = 0;
	int r;

	for (;;) {
		r = plan_side(p, set, way, side, h, w, ret_bytes, err);
		if (r < 0 || *ret_bytes <= most)
			break;
		while (i < N_TILE_SIDES && tile_sides[i] / pack >= side)
			i++;
		if (i == N_TILE_SIDES)
			break;                  /* the device may have room all the same */
		side = tile_sides[i] / pack;
	}
	*ret_side = side;
	return r;
}

static int run_tile(void *context, const struct tile *t, float *ret, struct err *err)
{
	const struct passage *g = context;
	struct workshop *shop = &g->p->shop;
	const uint32_t shape[STAGE_DIMS] = { t->h, t->w };
	struct stage *s;
	int r;

	r = stage_ready(shop, g->set, &g->way->kind, &g->p->parts, shape, &s, err);
	if (r < 0)
		return r;
	if (g->way->feed(g, s, t) < 0)
		return err_set(err, -ENOMEM, "%s: out of memory", g->way->doing);
	r = stage_run(shop, s, "vae.", err);
	if (r == 0)
		graph_read(s->graph, s->out, ret);
	return r;
}

/* scale and channels: of the results, as in struct tile_grid. */
static int pass(struct passage *g, uint32_t scale, uint32_t channels, float *ret, struct err *err)
{
	struct tile_grid grid = { .h = g->h, .w = g->w, .scale = scale, .channels = channels };
	size_t n = (size_t)g->h * scale * g->w * scale * channels;
	uint64_t bytes;
	int r;

	r = plan(g->p, g->set, g->way, g->h, g->w, &grid.side, &bytes, err);
	if (r < 0)
		return r;
	if (grid.side < g->h || grid.side < g->w)
		log_debug("%s %ux%u latents in tiles of %u", g->way->doing, g->w, g->h, grid.side);
	r = tiles_run(&grid, run_tile, g, ret, err);
	return r < 0 ? r : check_finite(ret, n, g->way->results, err);
}

/* ---- decoding ---- */

static int build_decode(const void *model, struct stage *s)
{
	const struct family_parts *parts = model;

	s->out = parts->family->vae->build_decode(parts->vae, s->graph, s->shape[0], s->shape[1],
						  &s->in[0]);
	return 0;
}

/* [channels, h, w] of one tile, the caller's to free. */
static float *cut_latent(const struct passage *g, const struct tile *t)
{
	const struct family_parts *parts = &g->p->parts;
	uint32_t c, y, channels = parts->family->vae->latent_channels(parts->vae);
	float *cut = calloc((size_t)channels * t->h, t->w * sizeof *cut);

	for (c = 0; cut && c < channels; c++)
		for (y = 0; y < t->h; y++)
			memcpy(cut + ((size_t)c * t->h + y) * t->w,
			       g->from + ((size_t)c * g->h + t->y + y) * g->w + t->x,
			       t->w * sizeof *cut);
	return cut;
}

static int feed_decode(const struct passage *g, struct stage *s, const struct tile *t)
{
	const struct family_parts *parts = &g->p->parts;
	float *latent = cut_latent(g, t);
	int r;

	if (!latent)
		return -ENOMEM;
	r = parts->family->vae->feed_decode(parts->vae, s->graph, s->in[0], latent, t->h, t->w);
	free(latent);
	return r;
}

static const struct way decode_way = {
	.doing = "decoding", .results = "the decoder's results",
	.kind = { .build = build_decode }, .feed = feed_decode,
};

int decode_plan(struct pipeline *p, uint32_t h, uint32_t w, uint32_t *ret_side, uint64_t *ret_bytes,
		struct err *err)
{
	return plan(p, &p->decode, &decode_way, h, w, ret_side, ret_bytes, err);
}

int decode_latent(struct pipeline *p, const float *latent, uint32_t h, uint32_t w, float *pixels,
		  struct err *err)
{
	struct passage g = {
		.p = p, .way = &decode_way, .set = &p->decode, .from = latent, .h = h, .w = w,
	};
	const uint32_t scale = p->parts.family->vae->scale;
	int r;

	r = pass(&g, scale, RGB, pixels, err);
	if (r == 0)
		workshop_tap(&p->shop, pixels, (size_t)h * scale * w * scale * RGB, "vae_out");
	return r;
}

/* ---- encoding ---- */

static int build_encode(const void *model, struct stage *s)
{
	const struct family_parts *parts = model;

	s->out = parts->family->vae->build_encode(parts->vae, s->graph, s->shape[0], s->shape[1],
						  &s->in[0]);
	return 0;
}

static int feed_encode(const struct passage *g, struct stage *s, const struct tile *t)
{
	const uint32_t scale = g->p->parts.family->vae->scale;
	const size_t row = (size_t)t->w * scale * RGB, whole_row = (size_t)g->w * scale * RGB;
	const float *from = g->from + t->y * scale * whole_row + (size_t)t->x * scale * RGB;
	float *cut = calloc((size_t)t->h * scale, row * sizeof *cut);
	uint32_t y;

	if (!cut)
		return -ENOMEM;
	for (y = 0; y < t->h * scale; y++)
		memcpy(cut + y * row, from + y * whole_row, row * sizeof *cut);
	graph_write(s->graph, s->in[0], cut);
	free(cut);
	return 0;
}

static const struct way encode_way = {
	.doing = "encoding", .results = "the encoder's results",
	.kind = { .build = build_encode }, .feed = feed_encode,
};

int encode_plan(struct pipeline *p, uint32_t h, uint32_t w, uint32_t *ret_side, uint64_t *ret_bytes,
		struct err *err)
{
	return plan(p, &p->encode, &encode_way, h, w, ret_side, ret_bytes, err);
}

int encode_picture(struct pipeline *p, const float *pixels, uint32_t h, uint32_t w,
		   const float *noise, float *ret_latent, struct err *err)
{
	struct passage g = {
		.p = p, .way = &encode_way, .set = &p->encode, .from = pixels, .h = h, .w = w,
	};
	const struct family_parts *parts = &p->parts;
	const struct vae_class *vae = parts->family->vae;
	const uint32_t pack = vae_pack(vae), channels = vae_moments(vae, parts->vae);
	size_t positions = (size_t)h * pack * w * pack;
	float *moments = calloc(positions, channels * sizeof *moments);
	int r;

	if (!moments)
		return err_set(err, -ENOMEM, "encoding: out of memory");
	r = weights_load(p->weights, p->shop.vk, WEIGHTS_ENCODER, NULL, NULL, err);
	if (r == 0)
		r = pass(&g, pack, channels, moments, err);
	if (r == 0) {
		workshop_tap(&p->shop, moments, positions * channels, "vae_moments");
		vae->latent_of(parts->vae, moments, h, w, noise, ret_latent);
		r = check_finite(ret_latent, positions * channels / 2, "the encoder's results", err);
	}
	free(moments);
	return r;
}
