#version 450
#extension GL_GOOGLE_include_directive : require
#define THREADS_ID 8
#include "kernel.glsl"
#include "linear.glsl"

#define TAPS 1

int locate_x(uint row, int tap, out bool keep)
{
	keep = true;
	return int(in_base[0] + min(row0 + row, m - 1) * x_stride);
}

int locate_w(uint col, int tap)
{
	return int(in_base[1] + min(col, n - 1) * w_stride);
}

#include "tile.glsl"

void main()
{
	tile_accumulate(k);
	tile_store(rows, n, y_stride);
}
