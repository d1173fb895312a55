#version 450
#extension GL_GOOGLE_include_directive : require
#include "gemm.glsl"

/*
 * 3x3 convolution as nine matrix products without a copy of the input: per tap the
 * activation row moves, rows beyond the border count as zero. The border is one pixel
 * all around; at stride 2 it is right and below only.
 */
layout(push_constant) uniform Push {
	PUSH_HEAD
	uint height, width;     /* of the output */
	uint n, c;              /* channels out and in */
	uint shift;             /* 1: the input is half as large (nearest) */
	uint stride;            /* 2: it is twice as large */
	uint x_stride, w_stride, y_stride;
};

void main()
{
	uint row = row_group() * RG * S, col = gl_WorkGroupID.y * NC * S;
	int read_h = int(height * stride), read_w = int(width * stride), before = 2 - int(stride);

	gemm_clear();
	for (int tap = 0; tap < 9; tap++) {
		int x_row[RG], w_row[NC];
		float x_keep[RG];

		[[unroll]] for (uint g = 0; g < RG; g++) {
			int pixel = int(min(row0 + row + g * S + lane(), height * width - 1));
			int py = pixel / int(width) * int(stride) + tap / 3 - before;
			int px = pixel % int(width) * int(stride) + tap % 3 - before;
			bool inside = py >= 0 && px >= 0 && py < read_h && px < read_w;

			py = clamp(py, 0, read_h - 1) >> shift;
			px = clamp(px, 0, read_w - 1) >> shift;
			x_row[g] = int(in_base[0]) + (py * (read_w >> shift) + px) * int(x_stride);
			x_keep[g] = inside ? 1 : 0;
		}
		[[unroll]] for (uint j = 0; j < NC; j++)
			w_row[j] = int(in_base[1] + (tap * n + min(col + j * S + lane(), n - 1)) * w_stride);
		gemm_accumulate(x_row, x_keep, w_row, c);
	}
	gemm_store(row, col, rows, n, y_stride, out_base, in_base[BIAS_INPUT]);
}
