#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"
#include "math.glsl"
#include "weight.glsl"

/*
 * Over the last axis:
 *   RMS norm    y = x / sqrt(mean(x^2) + eps) * w
 *   layer norm  y = (x - mean(x)) / sqrt(var(x) + eps)
 * and, with a tail, what is done with that at once (runner/ops/params.h). Long rows are
 * shared by all lanes, short ones have a lane each.
 */
layout(constant_id = 1) const uint LANES = 8;           /* a row */
layout(constant_id = 2) const uint CENTERED = 0;        /* 1: layer norm */
layout(constant_id = 3) const uint W_DTYPE = 0;         /* 0: no weight */
layout(constant_id = 4) const uint W_MODE = WIDE16;

layout(push_constant) uniform Push {
	PUSH_HEAD
	uint cols, quads;
	float eps;
};

layout(binding = 0) writeonly buffer Output { vec4 y[]; };
layout(binding = 1) uniform samplerBuffer X;
#ifdef WITH_TAIL
layout(constant_id = 5) const uint TAIL = 1;
#define TAIL_ADD 1
#define TAIL_SCALE1 2
#define TAIL_SCALE1_ADD 3
#define TAIL_GATE_ADD 4

layout(binding = 2) uniform samplerBuffer Row;          /* one row for all */
layout(binding = 3) uniform samplerBuffer Other;        /* one row for SCALE1*, else as many as X */
layout(binding = 4) uniform usamplerBuffer W;
#define W_INPUT 3

vec4 tail(vec4 v, uint row, uint q)
{
	vec4 one = texelFetch(Row, int(in_base[1] + q));
	vec4 other = texelFetch(Other, int(in_base[2] + (TAIL == TAIL_SCALE1 || TAIL == TAIL_SCALE1_ADD ? 0 : (row0 + row) * quads) + q));

	switch (TAIL) {
	case TAIL_ADD: return other + v;
	case TAIL_SCALE1: return v * (1 + one);
	case TAIL_SCALE1_ADD: return v * (1 + one) + other;
	default: return other + tanh_exact(one) * v;
	}
}
#else
layout(binding = 2) uniform usamplerBuffer W;
#define W_INPUT 1

vec4 tail(vec4 v, uint row, uint q)
{
	return v;
}
#endif

vec4 load(int at, uint q, float center)
{
	return mask_cols(texelFetch(X, at + int(q)) - center, q, cols);
}

float row_sum(vec4 v)
{
	return sum_lanes(v.x + v.y + v.z + v.w, LANES);
}

void main()
{
	uint row = flat_group() * (S / LANES) + lane() / LANES, first = lane() % LANES;
	int at = int(in_base[0] + (row0 + min(row, rows - 1)) * quads);
	vec4 sum = vec4(0);
	float center = 0, factor;

	if (CENTERED != 0) {
		for (uint q = first; q < quads; q += LANES)
			sum += load(at, q, 0);
		center = row_sum(sum) / cols;
		sum = vec4(0);
	}
	for (uint q = first; q < quads; q += LANES) {
		vec4 v = load(at, q, center);

		sum += v * v;
	}
	factor = inversesqrt(row_sum(sum) / cols + eps);
	if (row >= rows)
		return;
	for (uint q = first; q < quads; q += LANES) {
		vec4 v = load(at, q, center) * factor;

		if (W_DTYPE != 0)
			v *= weight4(W, in_base[W_INPUT], q, cols, W_DTYPE, W_MODE);
		y[out_base / 4 + row * quads + q] = tail(v, row, q);
	}
}
