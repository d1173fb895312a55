#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"

/* The columns of x become columns of y from quad0 on; the others of y stay. */
layout(constant_id = 1) const uint ROUNDS = 8;

layout(push_constant) uniform Push {
	PUSH_HEAD
	uint quads, x_quads;    /* texels a row of y and of x */
	uint quad0;
};

layout(binding = 0) writeonly buffer Output { vec4 y[]; };
layout(binding = 1) uniform samplerBuffer X;

void main()
{
	uint first = flat_group() * S * ROUNDS + lane(), n = rows * x_quads;

	for (uint i = 0; i < ROUNDS; i++) {
		uint at = first + i * S;
		vec4 v = texelFetch(X, int(in_base[0] + row0 * x_quads + min(at, n - 1)));

		if (at < n)
			y[out_base / 4 + at / x_quads * quads + quad0 + at % x_quads] = v;
	}
}
