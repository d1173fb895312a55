/*
 * tile.glsl with float32 operands: a word holds four numbers, a thread sums ROWS by COLS
 * outputs, 16 threads lie along the columns.
 */
#define ROW_CHUNKS 2
#define ACROSS 16

const uint BM = THREADS / ACROSS * ROWS, BN = ACROSS * COLS;

shared vec4 xs[BM * ROW_WORDS], ws[BN * ROW_WORDS];

float acc[ROWS * COLS];

void note_range(vec4 lo, vec4 hi)
{
}

void adapt_range()
{
}

void tile_clear()
{
	[[unroll]] for (uint i = 0; i < ROWS * COLS; i++)
		acc[i] = 0;
}

void share_x(uint row, uint chunk, vec4 lo, vec4 hi)
{
	xs[row * ROW_WORDS + 2 * chunk] = lo;
	xs[row * ROW_WORDS + 2 * chunk + 1] = hi;
}

void share_w(uint col, uint chunk, vec4 lo, vec4 hi)
{
	ws[col * ROW_WORDS + 2 * chunk] = lo;
	ws[col * ROW_WORDS + 2 * chunk + 1] = hi;
}

void tile_multiply()
{
	uint row = gl_LocalInvocationIndex / ACROSS * ROWS, col = gl_LocalInvocationIndex % ACROSS;

	for (uint q = 0; q < 2 * ROW_CHUNKS; q++) {
		vec4 b[COLS];

		[[unroll]] for (uint j = 0; j < COLS; j++)
			b[j] = ws[(col + j * ACROSS) * ROW_WORDS + q];
		[[unroll]] for (uint i = 0; i < ROWS; i++) {
			vec4 a = xs[(row + i) * ROW_WORDS + q];

			[[unroll]] for (uint j = 0; j < COLS; j++) {
				acc[i * COLS + j] += a.x * b[j].x;
				acc[i * COLS + j] += a.y * b[j].y;
				acc[i * COLS + j] += a.z * b[j].z;
				acc[i * COLS + j] += a.w * b[j].w;
			}
		}
	}
}

void tile_store(uint n_rows, uint n_cols, uint stride)
{
	uint row = gl_LocalInvocationIndex / ACROSS * ROWS, col = gl_LocalInvocationIndex % ACROSS;

	[[unroll]] for (uint i = 0; i < ROWS; i++)
		[[unroll]] for (uint j = 0; j < COLS; j++)
			store1(row + i, col + j * ACROSS, n_rows, n_cols, stride, acc[i * COLS + j]);
}
