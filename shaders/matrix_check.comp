#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#include "matrix.glsl"

/* Whether the compiler knows the extension: never run. */
layout(local_size_x = 32) in;

shared uvec4 words[64];
shared float sums[1024];

void main()
{
	FRAGMENT_X x;
	FRAGMENT_W w;
	FRAGMENT_SUM sum = FRAGMENT_SUM(0.0);

	load_rows(x, words, 0, 2);
	load_cols(w, words, 0, 2);
	sum = multiply_add(x, w, sum);
	store_rows(sum * 2.0, sums, 0, MN);
}
