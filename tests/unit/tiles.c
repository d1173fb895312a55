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

enum { MAX_TILES = 64, RGB = 3 };

/* A decoder whose result depends on the tile, so that blending shows. */
static float value(const struct tile *t, uint32_t y, uint32_t x, int c)
{
	float tile = sinf((float)(t->y * 13 + t->x * 7 + (uint32_t)c));

	return tile + (float)y * 0.01f - (float)x * 0.003f;
}

struct decoder {
	unsigned calls;
	int result;
};

static int decode(void *context, const struct tile *t, float *pixels, struct err *err)
{
	struct decoder *d = context;
	uint32_t y, x;
	int c;

	d->calls++;
	for (y = 0; y < t->h * VAE_SCALE; y++)
		for (x = 0; x < t->w * VAE_SCALE; x++)
			for (c = 0; c < RGB; c++)
				*pixels++ = value(t, y, x, c);
	return d->result < 0 ? err_set(err, d->result, "decoder") : 0;
}

/* ---- the reference: blended tiles kept whole, then cropped ---- */

struct grid {
	struct tile tile[MAX_TILES];
	float *pixels[MAX_TILES];
	unsigned rows, cols;
};

static float *pixel(const struct grid *g, unsigned i, uint32_t y, uint32_t x)
{
	return g->pixels[i] + ((size_t)y * g->tile[i].w * VAE_SCALE + x) * RGB;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void blend_rows(struct grid *g, unsigned above, unsigned i, uint32_t extent)
{
	uint32_t y, x, e = min_u32(extent, min_u32(g->tile[above].h, g->tile[i].h) * VAE_SCALE);
	int c;

	for (y = 0; y < e; y++)
		for (x = 0; x < g->tile[i].w * VAE_SCALE; x++)
			for (c = 0; c < RGB; c++) {
				float a = pixel(g, above, g->tile[above].h * VAE_SCALE - e + y,
						x)[c];
				float *b = &pixel(g, i, y, x)[c];

				*b = a * (1 - (float)y / (float)e) + *b * ((float)y / (float)e);
			}
}

static void blend_cols(struct grid *g, unsigned left, unsigned i, uint32_t extent)
{
	uint32_t y, x, e = min_u32(extent, min_u32(g->tile[left].w, g->tile[i].w) * VAE_SCALE);
	int c;

	for (x = 0; x < e; x++)
		for (y = 0; y < g->tile[i].h * VAE_SCALE; y++)
			for (c = 0; c < RGB; c++) {
				float a = pixel(g, left, y, g->tile[left].w * VAE_SCALE - e + x)[c];
				float *b = &pixel(g, i, y, x)[c];

				*b = a * (1 - (float)x / (float)e) + *b * ((float)x / (float)e);
			}
}

static void make_tiles(struct grid *g, uint32_t side, uint32_t h, uint32_t w)
{
	struct decoder d = { 0 };
	uint32_t stride = side * 3 / 4, y, x;
	unsigned i = 0;

	for (y = 0; y < h; y += stride, g->rows++)
		for (x = 0, g->cols = 0; x < w; x += stride, g->cols++, i++) {
			g->tile[i] = (struct tile){ y, x, min_u32(side, h - y),
						   min_u32(side, w - x) };
			g->pixels[i] = calloc((size_t)g->tile[i].h * g->tile[i].w,
					      VAE_SCALE * VAE_SCALE * RGB * sizeof(float));
			assert_non_null(g->pixels[i]);
			decode(&d, &g->tile[i], g->pixels[i], NULL);
		}
}

static void reference(uint32_t side, uint32_t h, uint32_t w, float *out)
{
	struct grid g = { 0 };
	uint32_t kept = side * 3 / 4 * VAE_SCALE, y, x;
	unsigned i;

	make_tiles(&g, side, h, w);
	for (i = 0; i < g.rows * g.cols; i++) {
		if (i >= g.cols)
			blend_rows(&g, i - g.cols, i, side / 4 * VAE_SCALE);
		if (i % g.cols)
			blend_cols(&g, i - 1, i, side / 4 * VAE_SCALE);
	}
	for (y = 0; y < h * VAE_SCALE; y++)
		for (x = 0; x < w * VAE_SCALE; x++, out += RGB) {
			i = y / kept * g.cols + x / kept;
			memcpy(out, pixel(&g, i, y % kept, x % kept), RGB * sizeof *out);
		}
	for (i = 0; i < g.rows * g.cols; i++)
		free(g.pixels[i]);
}

static void test_against_reference(void **unused)
{
	/* One row, one column, ends that are thinner than the overlap, whole strides. */
	static const struct { uint32_t side, h, w; } cases[] = {
		{ 8, 12, 20 }, { 8, 9, 8 }, { 8, 3, 30 }, { 8, 18, 6 }, { 16, 24, 25 },
			{ 4, 7, 10 }, };
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		uint32_t h = cases[i].h, w = cases[i].w;
		size_t n = (size_t)h * w * VAE_SCALE * VAE_SCALE * RGB;
		float *got = calloc(n, sizeof *got), *want = calloc(n, sizeof *want);
		struct decoder d = { 0 };
		struct err err;

		assert_non_null(got);
		assert_non_null(want);
		assert_int_equal(tiles_decode(cases[i].side, h, w, decode, &d, got, &err), 0);
		reference(cases[i].side, h, w, want);
		if (max_difference(got, want, n) > 1e-6)
			fail_msg("case %zu is off by %g", i, max_difference(got, want, n));
		free(got);
		free(want);
	}
}

static void test_whole_when_it_fits(void **unused)
{
	float got[8 * 5 * VAE_SCALE * VAE_SCALE * RGB], want[8 * 5 * VAE_SCALE * VAE_SCALE * RGB];
	const struct tile whole = { .h = 8, .w = 5 };
	struct decoder d = { 0 };
	struct err err;

	(void)unused;
	assert_int_equal(tiles_decode(8, 8, 5, decode, &d, got, &err), 0);
	assert_int_equal(d.calls, 1);
	decode(&d, &whole, want, NULL);
	assert_memory_equal(got, want, sizeof got);
}

static void test_error_ends_it(void **unused)
{
	float pixels[12 * 12 * VAE_SCALE * VAE_SCALE * RGB];
	struct decoder d = { .result = -5 };
	struct err err;

	(void)unused;
	assert_int_equal(tiles_decode(8, 12, 12, decode, &d, pixels, &err), -5);
	assert_int_equal(d.calls, 1);
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
