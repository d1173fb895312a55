#version 450
#extension GL_GOOGLE_include_directive : require
#include "push.glsl"
#include "linear.glsl"

#include "gemm.glsl"

void main()
{
	uint row = row_group() * RG * S, col = gl_WorkGroupID.y * NC * S;
	int x_row[RG], w_row[NC];
	float x_keep[RG];

	[[unroll]] for (uint g = 0; g < RG; g++) {
		x_row[g] = int(in_base[0] + min(row0 + row + g * S + lane(), m - 1) * x_stride);
		x_keep[g] = 1;
	}
	[[unroll]] for (uint j = 0; j < NC; j++)
		w_row[j] = int(in_base[1] + min(col + j * S + lane(), n - 1) * w_stride);
	gemm_clear();
	gemm_accumulate(x_row, x_keep, w_row, k);
	gemm_store(row, col, rows, n, y_stride, out_base, in_base[BIAS_INPUT]);
}
