/*
 * The matrix product of the kernels for GPUs: a workgroup computes BM rows by BN
 * columns. Blocks of 8 * ROW_CHUNKS columns of both operands go through shared memory,
 * in words of 16 bytes; the next block is fetched while one is multiplied. What a word
 * holds and what multiplies is tile_f32.glsl's, tile_f16.glsl's or tile_matrix.glsl's.
 * The kernel that includes this has defined TAPS, and where rows begin, in texels:
 *   int locate_x(uint row, int tap, out bool keep)     a row that is not kept counts as zero
 *   int locate_w(uint col, int tap)
 */
#include "weight.glsl"

layout(constant_id = 1) const uint ROWS = 8;            /* the tile's size: see there */
layout(constant_id = 2) const uint COLS = 4;
layout(constant_id = 3) const uint W_DTYPE = DTYPE_BF16;
layout(constant_id = 4) const uint W_MODE = WIDE16;
layout(constant_id = 5) const uint B_DTYPE = 0;         /* 0: no bias */

layout(binding = 0) writeonly buffer Output { float y[]; };
layout(binding = 1) uniform samplerBuffer X;
layout(binding = 2) uniform usamplerBuffer W;
layout(binding = 1 + BIAS_INPUT) uniform usamplerBuffer B;

/* Words of a row of a block: four, and one more so that rows begin in different banks. */
#define ROW_WORDS 5

/* One output of the tile; beyond n_rows and n_cols there is none. */
void store1(uint row, uint col, uint n_rows, uint n_cols, uint stride, float v);

#if defined(OPERANDS_MATRIX)
#include "tile_matrix.glsl"
#elif defined(OPERANDS_F16)
#include "tile_f16.glsl"
#else
#include "tile_f32.glsl"
#endif

/* The tile's first row and column; rows count from the band's start. */
uint tile_row()
{
	return row_group() * BM;
}

uint tile_col()
{
	return gl_WorkGroupID.y * BN;
}

/* The i-th chunk of eight columns that this thread carries: its row in the block, its place in the row. */
uint chunk_row(uint i)
{
	return (i * THREADS + gl_LocalInvocationIndex) / ROW_CHUNKS;
}

uint chunk_place(uint i)
{
	return (i * THREADS + gl_LocalInvocationIndex) % ROW_CHUNKS;
}

const uint X_LOADS = (BM * ROW_CHUNKS + THREADS - 1) / THREADS;
const uint W_LOADS = (BN * ROW_CHUNKS + THREADS - 1) / THREADS;

int x_at[X_LOADS], w_at[W_LOADS];       /* first texels of rows; below zero: not kept */
vec4 x_chunk[2 * X_LOADS];
packed8 w_chunk[W_LOADS];

void locate(int tap)
{
	[[unroll]] for (uint i = 0; i < X_LOADS; i++) {
		bool keep;
		int at = locate_x(tile_row() + chunk_row(i), tap, keep);

		x_at[i] = keep ? at : -1;
	}
	[[unroll]] for (uint i = 0; i < W_LOADS; i++)
		w_at[i] = locate_w(tile_col() + chunk_row(i), tap);
}

/* Components from column cols on are zero: the padding of a row holds anything. */
vec4 activation4(int row, int quad, uint cols)
{
	vec4 v = texelFetch(X, row + quad);

	return W_MODE == SCALAR ? mask_cols(v, uint(quad), cols) : v;
}

void fetch_block(uint block, uint cols)
{
	int first = int(block * ROW_CHUNKS), end = int((cols + 7) / 8);

	[[unroll]] for (uint i = 0; i < X_LOADS; i++) {
		int c = first + int(chunk_place(i));

		x_chunk[2 * i] = vec4(0);
		x_chunk[2 * i + 1] = vec4(0);
		if (x_at[i] >= 0 && c < end) {
			x_chunk[2 * i] = activation4(x_at[i], 2 * c, cols);
			x_chunk[2 * i + 1] = activation4(x_at[i], 2 * c + 1, cols);
		}
		note_range(x_chunk[2 * i], x_chunk[2 * i + 1]);
	}
	[[unroll]] for (uint i = 0; i < W_LOADS; i++) {
		int c = first + int(chunk_place(i));

		w_chunk[i] = packed8(uvec4(0), uvec4(0));
		if (c < end)
			w_chunk[i] = fetch8(W, w_at[i], c, int(cols), W_DTYPE, W_MODE);
	}
}

vec4 elements4(packed8 p, int first)
{
	return vec4(element8(p, first, W_DTYPE), element8(p, first + 1, W_DTYPE),
		    element8(p, first + 2, W_DTYPE), element8(p, first + 3, W_DTYPE));
}

void share_block()
{
	[[unroll]] for (uint i = 0; i < X_LOADS; i++)
		if (chunk_row(i) < BM)
			share_x(chunk_row(i), chunk_place(i), x_chunk[2 * i], x_chunk[2 * i + 1]);
	[[unroll]] for (uint i = 0; i < W_LOADS; i++)
		if (chunk_row(i) < BN)
			share_w(chunk_row(i), chunk_place(i), elements4(w_chunk[i], 0), elements4(w_chunk[i], 4));
}

/* The whole sum over taps and cols columns. */
void tile_accumulate(uint cols)
{
	uint blocks = (cols + 8 * ROW_CHUNKS - 1) / (8 * ROW_CHUNKS);

	tile_clear();
	locate(0);
	fetch_block(0, cols);
	for (int tap = 0; tap < TAPS; tap++) {
		for (uint block = 0; block < blocks; block++) {
			barrier();              /* the block before is used up, ranges are noted */
			adapt_range();
			share_block();
			barrier();
			if (block + 1 < blocks) {
				fetch_block(block + 1, cols);
			} else if (tap + 1 < TAPS) {
				locate(tap + 1);
				fetch_block(0, cols);
			}
			tile_multiply();
		}
	}
}

void store1(uint row, uint col, uint n_rows, uint n_cols, uint stride, float v)
{
	row += tile_row();
	col += tile_col();
	if (row >= n_rows || col >= n_cols)
		return;
	if (B_DTYPE != 0)
		v += weight1(B, in_base[BIAS_INPUT], col, B_DTYPE);
	y[out_base + row * stride + col] = v;
}
