#version 450
#extension GL_GOOGLE_include_directive : require
#include "gemm.glsl"
#include "conv3x3.glsl"

/* lib/conv3x3.glsl in tiles of registers. */
void main()
{
	uint row = row_group() * RG * S, col = gl_WorkGroupID.y * NC * S;

	gemm_clear();
	for (int tap = 0; tap < 9; tap++) {
		int x_row[RG], w_row[NC];
		float x_keep[RG];

		[[unroll]] for (uint g = 0; g < RG; g++) {
			bool inside;

			x_row[g] = conv_row(row + g * S + lane(), tap, inside);
			x_keep[g] = inside ? 1 : 0;
		}
		[[unroll]] for (uint j = 0; j < NC; j++)
			w_row[j] = int(in_base[1] + (tap * n + min(col + j * S + lane(), n - 1)) * w_stride);
		gemm_accumulate(x_row, x_keep, w_row, c);
	}
	gemm_store(row, col, rows, n, y_stride, out_base, in_base[BIAS_INPUT]);
}
