#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"
#include "weight.glsl"

/* Every row of y is the weight. */
layout(constant_id = 1) const uint W_DTYPE = DTYPE_BF16;
layout(constant_id = 2) const uint W_MODE = WIDE16;

layout(push_constant) uniform Push {
	PUSH_HEAD
	uint cols, quads;
};

layout(binding = 0) writeonly buffer Output { vec4 y[]; };
layout(binding = 1) uniform usamplerBuffer W;

void main()
{
	uint quad = gl_WorkGroupID.y * S + lane();

	if (quad < quads)
		y[out_base / 4 + gl_WorkGroupID.x * quads + quad] =
			weight4(W, in_base[0], quad, cols, W_DTYPE, W_MODE);
}
