#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"

/*
 * Mean and sum of squared deviations of every channel over a chunk of rows. Output row
 * = chunk: the means of all channels, then their squared deviations.
 */
layout(push_constant) uniform Push {
	PUSH_HEAD
	uint n_rows, chunk;     /* rows in all, rows a chunk */
	uint quads;             /* texels a row */
};

layout(binding = 0) writeonly buffer Output { vec4 y[]; };
layout(binding = 1) uniform samplerBuffer X;

void main()
{
	uint part = gl_WorkGroupID.x, quad = gl_WorkGroupID.y * S + lane();
	uint begin = (row0 + part) * chunk, end = min(begin + chunk, n_rows);
	int at = int(in_base[0] + min(quad, quads - 1));
	vec4 sum = vec4(0), squares = vec4(0), mean;

	for (uint r = begin; r < end; r++)
		sum += texelFetch(X, at + int(r * quads));
	mean = sum / float(end - begin);
	for (uint r = begin; r < end; r++) {
		vec4 d = texelFetch(X, at + int(r * quads)) - mean;

		squares += d * d;
	}
	if (quad >= quads)
		return;
	y[out_base / 4 + part * 2 * quads + quad] = mean;
	y[out_base / 4 + part * 2 * quads + quads + quad] = squares;
}
