#version 450
#extension GL_GOOGLE_include_directive : require
#define THREADS_ID 8
#include "kernel.glsl"
#include "conv3x3.glsl"

#define TAPS 9

int locate_x(uint row, int tap, out bool keep)
{
	return conv_row(row, tap, keep);
}

int locate_w(uint col, int tap)
{
	return int(in_base[1] + (tap * n + min(col, n - 1)) * w_stride);
}

#include "tile.glsl"

void main()
{
	tile_accumulate(c);
	tile_store(rows, n, y_stride);
}
