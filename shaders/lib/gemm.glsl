/*
 * The matrix product of linear.comp and conv3x3.comp: a subgroup computes a tile of
 * RG * S rows by NC * S columns. Lanes are columns: each lane fetches weight rows of its
 * own and one activation row per group; activations are handed round by shuffles from
 * constant lanes, which are one instruction each.
 */
#include "kernel.glsl"
#include "weight.glsl"

layout(constant_id = 1) const uint RG = 2;
layout(constant_id = 2) const uint NC = 3;
layout(constant_id = 3) const uint W_DTYPE = DTYPE_BF16;
layout(constant_id = 4) const uint W_MODE = WIDE16;
layout(constant_id = 5) const uint B_DTYPE = 0;         /* 0: no bias */

layout(binding = 0) writeonly buffer Output { float y[]; };
layout(binding = 1) uniform samplerBuffer X;
layout(binding = 2) uniform usamplerBuffer W;
layout(binding = 1 + BIAS_INPUT) uniform usamplerBuffer B;

float acc[RG * S * NC];

void gemm_clear()
{
	[[unroll]] for (uint i = 0; i < RG * S * NC; i++)
		acc[i] = 0;
}

/* Components from column cols on are zero: the padding of a row holds anything. */
vec4 activation4(int row, int quad, uint cols)
{
	vec4 v = texelFetch(X, row + quad);

	return W_MODE == SCALAR ? mask_cols(v, uint(quad), cols) : v;
}

/*
 * acc += X rows times W rows over cols columns. x_row[g], w_row[j]: first texels of this
 * lane's rows; x_keep[g] is 0 for a row that counts as zero, else 1.
 */
void gemm_accumulate(int x_row[RG], float x_keep[RG], int w_row[NC], uint cols)
{
	int steps = int((cols + 7) / 8);

	for (int k = 0; k < steps; k++) {
		packed8 w[NC];
		vec4 a[2 * RG];

		[[unroll]] for (uint j = 0; j < NC; j++)
			w[j] = fetch8(W, w_row[j], k, int(cols), W_DTYPE, W_MODE);
		[[unroll]] for (uint g = 0; g < RG; g++) {
			a[2 * g] = activation4(x_row[g], 2 * k, cols) * x_keep[g];
			a[2 * g + 1] = activation4(x_row[g], 2 * k + 1, cols) * x_keep[g];
		}
		[[unroll]] for (int i = 0; i < 8; i++) {
			float wv[NC];

			[[unroll]] for (uint j = 0; j < NC; j++)
				wv[j] = element8(w[j], i, W_DTYPE);
			[[unroll]] for (uint g = 0; g < RG; g++) {
				float v = a[2 * g + (i >> 2)][i & 3];

				[[unroll]] for (uint r = 0; r < S; r++) {
					float x = subgroupShuffle(v, r);

					[[unroll]] for (uint j = 0; j < NC; j++)
						acc[(g * S + r) * NC + j] += x * wv[j];
				}
			}
		}
	}
}

/* Writes the tile at (row, col), rows counted from the band's start, plus the bias. */
void gemm_store(uint row, uint col, uint n_rows, uint n, uint stride, uint out_at, uint bias_at)
{
	[[unroll]] for (uint j = 0; j < NC; j++) {
		uint c = col + j * S + lane();
		float bias = 0;

		if (c >= n)
			continue;
		if (B_DTYPE != 0)
			bias = weight1(B, bias_at, c, B_DTYPE);
		[[unroll]] for (uint r = 0; r < RG * S; r++)
			if (row + r < n_rows)
				y[out_at + (row + r) * stride + c] = acc[r * NC + j] + bias;
	}
}
