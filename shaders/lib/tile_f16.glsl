/*
 * tile.glsl with half precision operands: a word holds eight numbers, a thread sums
 * ROWS by COLS outputs in float32, 16 threads lie along the columns.
 */
#include "tile_range.glsl"

#define ROW_CHUNKS 4
#define ACROSS 16

const uint BM = THREADS / ACROSS * ROWS, BN = ACROSS * COLS;

shared uvec4 xs[BM * ROW_WORDS], ws[BN * ROW_WORDS];

float acc[ROWS * COLS];

void adapt_range()
{
	float factor = next_range();

	if (factor != 1)
		[[unroll]] for (uint i = 0; i < ROWS * COLS; i++)
			acc[i] *= factor;
}

void tile_clear()
{
	clear_range();
	[[unroll]] for (uint i = 0; i < ROWS * COLS; i++)
		acc[i] = 0;
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

/* The products of the p-th pair of each word. */
void multiply_pair(uvec4 a[ROWS], uvec4 b[COLS], uint p)
{
	vec2 v[COLS];

	[[unroll]] for (uint j = 0; j < COLS; j++)
		v[j] = unpackHalf2x16(b[j][p]);
	[[unroll]] for (uint i = 0; i < ROWS; i++) {
		vec2 u = unpackHalf2x16(a[i][p]);

		[[unroll]] for (uint j = 0; j < COLS; j++) {
			acc[i * COLS + j] += u.x * v[j].x;
			acc[i * COLS + j] += u.y * v[j].y;
		}
	}
}

void tile_multiply()
{
	uint row = gl_LocalInvocationIndex / ACROSS * ROWS, col = gl_LocalInvocationIndex % ACROSS;

	for (uint word = 0; word < ROW_CHUNKS; word++) {
		uvec4 a[ROWS], b[COLS];

		[[unroll]] for (uint i = 0; i < ROWS; i++)
			a[i] = xs[(row + i) * ROW_WORDS + word];
		[[unroll]] for (uint j = 0; j < COLS; j++)
			b[j] = ws[(col + j * ACROSS) * ROW_WORDS + word];
		[[unroll]] for (uint p = 0; p < 4; p++)
			multiply_pair(a, b, p);
	}
}

void tile_store(uint n_rows, uint n_cols, uint stride)
{
	uint row = gl_LocalInvocationIndex / ACROSS * ROWS, col = gl_LocalInvocationIndex % ACROSS;
	float factor = power_of_two(range);

	[[unroll]] for (uint i = 0; i < ROWS; i++)
		[[unroll]] for (uint j = 0; j < COLS; j++)
			store1(row + i, col + j * ACROSS, n_rows, n_cols, stride, acc[i * COLS + j] * factor);
}
