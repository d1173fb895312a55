/*
 * tile.glsl with the matrix units of a device: half precision operands, sums in float32.
 * A word holds eight numbers. Four subgroups, two by two, sum a quarter of the tile of
 * ROWS by COLS outputs each, in fragments of MM by MN.
 */
#include "matrix.glsl"
#include "tile_range.glsl"

#define ROW_CHUNKS 4

const uint BM = ROWS, BN = COLS;
const uint DOWN = BM / 2 / MM, ALONG = BN / 2 / MN;     /* fragments of a subgroup */

shared uvec4 xs[BM * ROW_WORDS], ws[BN * ROW_WORDS];
shared float stage[4 * MM * MN];        /* a fragment of each subgroup on its way out */

FRAGMENT_SUM acc[DOWN * ALONG];

/* Where this subgroup's quarter begins. */
uint part_row()
{
	return gl_SubgroupID / 2 * (BM / 2);
}

uint part_col()
{
	return gl_SubgroupID % 2 * (BN / 2);
}

void adapt_range()
{
	float factor = next_range();

	if (factor != 1)
		[[unroll]] for (uint i = 0; i < DOWN * ALONG; i++)
			acc[i] = acc[i] * factor;
}

void tile_clear()
{
	clear_range();
	[[unroll]] for (uint i = 0; i < DOWN * ALONG; i++)
		acc[i] = FRAGMENT_SUM(0.0);
}

void share_x(uint row, uint chunk, vec4 lo, vec4 hi)
{
	float factor = power_of_two(-range);

	xs[row * ROW_WORDS + chunk] = half8(lo * factor, hi * factor);
}

void share_w(uint col, uint chunk, vec4 lo, vec4 hi)
{
	ws[col * ROW_WORDS + chunk] = half8(lo, hi);
}

void tile_multiply()
{
	[[unroll]] for (uint k = 0; k < 8 * ROW_CHUNKS; k += MK) {
		FRAGMENT_W w[ALONG];

		[[unroll]] for (uint j = 0; j < ALONG; j++)
			load_cols(w[j], ws, (part_col() + j * MN) * ROW_WORDS + k / 8, ROW_WORDS);
		[[unroll]] for (uint i = 0; i < DOWN; i++) {
			FRAGMENT_X x;

			load_rows(x, xs, (part_row() + i * MM) * ROW_WORDS + k / 8, ROW_WORDS);
			[[unroll]] for (uint j = 0; j < ALONG; j++)
				acc[i * ALONG + j] = multiply_add(x, w[j], acc[i * ALONG + j]);
		}
	}
}

void tile_store(uint n_rows, uint n_cols, uint stride)
{
	uint own = gl_SubgroupID * MM * MN;
	float factor = power_of_two(range);

	[[unroll]] for (uint f = 0; f < DOWN * ALONG; f++) {
		store_rows(acc[f], stage, own, MN);
		barrier();
		for (uint e = lane(); e < MM * MN; e += S)
			store1(part_row() + f / ALONG * MM + e / MN, part_col() + f % ALONG * MN + e % MN,
			       n_rows, n_cols, stride, stage[own + e] * factor);
		barrier();
	}
}
