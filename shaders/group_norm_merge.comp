#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"

/*
 * Joins the partial statistics of a group's channels and chunks: a lane is a group.
 * Output [2, channels]: the group's mean, then 1 / sqrt(variance + eps).
 */
layout(push_constant) uniform Push {
	PUSH_HEAD
	uint n_rows, chunk, n_chunks;
	uint channels, groups;
	uint quads;             /* texels a row of the picture */
	float eps;
};

layout(binding = 0) writeonly buffer Output { float y[]; };
layout(binding = 1) uniform samplerBuffer P;

float value(uint part, uint half_, uint c)
{
	return texelFetch(P, int(in_base[0] + (part * 2 + half_) * quads + c / 4))[c % 4];
}

void main()
{
	uint group = gl_WorkGroupID.x * S + lane(), width = channels / groups, first = group * width;
	float mean = 0, squares = 0, rstd;

	if (group >= groups)
		return;
	for (uint part = 0; part < n_chunks; part++) {
		float share = float(min(chunk, n_rows - part * chunk)) / (float(n_rows) * width);

		for (uint c = first; c < first + width; c++)
			mean += value(part, 0, c) * share;
	}
	for (uint part = 0; part < n_chunks; part++) {
		float n = float(min(chunk, n_rows - part * chunk));

		for (uint c = first; c < first + width; c++) {
			float d = value(part, 0, c) - mean;

			squares += value(part, 1, c) + n * d * d;
		}
	}
	rstd = inversesqrt(squares / (float(n_rows) * width) + eps);
	for (uint c = first; c < first + width; c++) {
		y[out_base + c] = mean;
		y[out_base + 4 * quads + c] = rstd;
	}
}
