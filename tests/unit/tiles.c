/*
 * tiles.c against the reference's way of tiling, written out pixel by pixel: tiles from
 * a function of place, blended one after the other.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/vae/tiles.h"
#include "tests/golden.h"

enum { MAX_TILES = 64 };

/* One number of a tile's results: it depends on the tile, so that blending shows. */
static float value(const struct tile *t, uint32_t y, uint32_t x, uint32_t c)
{
	float tile = sinf((float)(t->y * 13 + t->x * 7 + c));

	return tile + (float)y * 0.01f - (float)x * 0.003f;
}

struct worker {
	const struct tile_grid *grid;
	unsigned calls;
	int result;
};

static int work(void *context, const struct tile *t, float *ret, struct err *err)
{
	struct worker *k = context;
	uint32_t y, x, c;

	k->calls++;
	for (y = 0; y < t->h * k->grid->scale; y++)
		for (x = 0; x < t->w * k->grid->scale; x++)
			for (c = 0; c < k->grid->channels; c++)
				*ret++ = value(t, y, x, c);
	return k->result < 0 ? err_set(err, k->result, "worker") : 0;
}

static size_t numbers(const struct tile_grid *g, uint32_t h, uint32_t w)
{
	return (size_t)h * w * g->scale * g->scale * g->channels;
}

static float *room(const struct tile_grid *g, uint32_t h, uint32_t w)
{
	float *x = calloc(numbers(g, h, w), sizeof *x);

	assert_non_null(x);
	return x;
}

/* ---- the reference: blended tiles kept whole, then cropped ---- */

struct parts {
	const struct tile_grid *grid;
	struct tile tile[MAX_TILES];
	float *data[MAX_TILES];
	unsigned rows, cols;
};

static float *result(const struct parts *p, unsigned i, uint32_t y, uint32_t x)
{
	return p->data[i] + ((size_t)y * p->tile[i].w * p->grid->scale + x) * p->grid->channels;
}

static void blend(const struct parts *p, float *to, const float *from, float share)
{
	uint32_t c;

	for (c = 0; c < p->grid->channels; c++)
		to[c] = from[c] * (1 - share) + to[c] * share;
}

static void blend_rows(const struct parts *p, unsigned above, unsigned i, uint32_t extent)
{
	const uint32_t scale = p->grid->scale, h = p->tile[above].h;
	uint32_t y, x, e = min_u32(extent, min_u32(h, p->tile[i].h) * scale);

	for (y = 0; y < e; y++)
		for (x = 0; x < p->tile[i].w * scale; x++)
			blend(p, result(p, i, y, x), result(p, above, h * scale - e + y, x),
			      (float)y / (float)e);
}

static void blend_cols(const struct parts *p, unsigned left, unsigned i, uint32_t extent)
{
	const uint32_t scale = p->grid->scale, w = p->tile[left].w;
	uint32_t y, x, e = min_u32(extent, min_u32(w, p->tile[i].w) * scale);

	for (x = 0; x < e; x++)
		for (y = 0; y < p->tile[i].h * scale; y++)
			blend(p, result(p, i, y, x), result(p, left, y, w * scale - e + x),
			      (float)x / (float)e);
}

static void make_tiles(struct parts *p)
{
	const struct tile_grid *g = p->grid;
	struct worker k = { .grid = g };
	uint32_t stride = g->side * 3 / 4, y, x;
	unsigned i = 0;

	for (y = 0; y < g->h; y += stride, p->rows++)
		for (x = 0, p->cols = 0; x < g->w; x += stride, p->cols++, i++) {
			p->tile[i] = (struct tile){ y, x, min_u32(g->side, g->h - y),
						   min_u32(g->side, g->w - x) };
			p->data[i] = room(g, p->tile[i].h, p->tile[i].w);
			work(&k, &p->tile[i], p->data[i], NULL);
		}
}

static void reference(const struct tile_grid *g, float *out)
{
	struct parts p = { .grid = g };
	uint32_t kept = g->side * 3 / 4 * g->scale, y, x;
	unsigned i;

	make_tiles(&p);
	for (i = 0; i < p.rows * p.cols; i++) {
		if (i >= p.cols)
			blend_rows(&p, i - p.cols, i, g->side / 4 * g->scale);
		if (i % p.cols)
			blend_cols(&p, i - 1, i, g->side / 4 * g->scale);
	}
	for (y = 0; y < g->h * g->scale; y++)
		for (x = 0; x < g->w * g->scale; x++, out += g->channels) {
			i = y / kept * p.cols + x / kept;
			memcpy(out, result(&p, i, y % kept, x % kept), g->channels * sizeof *out);
		}
	for (i = 0; i < p.rows * p.cols; i++)
		free(p.data[i]);
}

static void test_against_reference(void **unused)
{
	static const struct tile_grid cases[] = {
		/* Decoding: one row, one column, ends thinner than the overlap, whole strides. */
		{ 8, 12, 20, 8, 3 }, { 8, 9, 8, 8, 3 }, { 8, 3, 30, 8, 3 }, { 8, 18, 6, 8, 3 },
		{ 16, 24, 25, 8, 3 }, { 4, 7, 10, 8, 3 }, { 8, 9, 13, 16, 3 },
		/* Encoding: as many results as positions, or 2 x 2 for each, of many numbers. */
		{ 8, 12, 20, 1, 32 }, { 8, 7, 9, 2, 10 },
	};
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const struct tile_grid *g = &cases[i];
		float *got = room(g, g->h, g->w), *want = room(g, g->h, g->w);
		struct worker k = { .grid = g };
		struct err err;

		assert_int_equal(tiles_run(g, work, &k, got, &err), 0);
		reference(g, want);
		if (!(max_difference(got, want, numbers(g, g->h, g->w)) <= 1e-6))
			fail_msg("case %zu is off by %g", i,
				 max_difference(got, want, numbers(g, g->h, g->w)));
		free(got);
		free(want);
	}
}

static void test_whole_when_it_fits(void **unused)
{
	const struct tile_grid g = { .side = 8, .h = 8, .w = 5, .scale = 8, .channels = 3 };
	const struct tile whole = { .h = g.h, .w = g.w };
	float *got = room(&g, g.h, g.w), *want = room(&g, g.h, g.w);
	struct worker k = { .grid = &g };
	struct err err;

	(void)unused;
	assert_int_equal(tiles_run(&g, work, &k, got, &err), 0);
	assert_int_equal(k.calls, 1);
	work(&k, &whole, want, NULL);
	assert_memory_equal(got, want, numbers(&g, g.h, g.w) * sizeof *got);
	free(got);
	free(want);
}

static void test_error_ends_it(void **unused)
{
	const struct tile_grid g = { .side = 8, .h = 12, .w = 12, .scale = 8, .channels = 3 };
	float *ret = room(&g, g.h, g.w);
	struct worker k = { .grid = &g, .result = -5 };
	struct err err;

	(void)unused;
	assert_int_equal(tiles_run(&g, work, &k, ret, &err), -5);
	assert_int_equal(k.calls, 1);
	free(ret);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_reference),
		cmocka_unit_test(test_whole_when_it_fits),
		cmocka_unit_test(test_error_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
