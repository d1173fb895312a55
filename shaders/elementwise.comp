#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"
#include "math.glsl"

/* y = f(a, b, c) element by element; b may be one row for all. */
layout(constant_id = 1) const uint FUNCTION = 0;
layout(constant_id = 2) const uint BROADCAST = 0;
layout(constant_id = 3) const uint ROUNDS = 8;

#define COPY 0
#define ADD 1
#define SCALE1 2
#define GATE_ADD 3
#define SWIGLU 4
#define SILU 5
#define MUL_ADD 6

layout(push_constant) uniform Push {
	PUSH_HEAD
	uint quads;             /* texels a row */
};

layout(binding = 0) writeonly buffer Output { vec4 y[]; };
layout(binding = 1) uniform samplerBuffer A;
layout(binding = 2) uniform samplerBuffer B;
layout(binding = 3) uniform samplerBuffer C;

vec4 operand_b(uint at)
{
	uint skipped = BROADCAST != 0 ? 0 : row0 * quads;

	return texelFetch(B, int(in_base[1] + skipped + (BROADCAST != 0 ? at % quads : at)));
}

vec4 compute(uint at)
{
	vec4 a = texelFetch(A, int(in_base[0] + row0 * quads + at));

	switch (FUNCTION) {
	case ADD: return a + operand_b(at);
	case SCALE1: return a * (1 + operand_b(at));
	case GATE_ADD: return a + tanh_exact(operand_b(at)) * texelFetch(C, int(in_base[2] + row0 * quads + at));
	case MUL_ADD: return a + operand_b(at) * texelFetch(C, int(in_base[2] + row0 * quads + at));
	case SWIGLU: return silu(a) * operand_b(at);
	case SILU: return silu(a);
	default: return a;
	}
}

void main()
{
	uint first = flat_group() * S * ROUNDS + lane(), n = rows * quads;

	for (uint i = 0; i < ROUNDS; i++) {
		uint at = first + i * S;
		vec4 v = compute(min(at, n - 1));

		if (at < n)
			y[out_base / 4 + at] = v;
	}
}
