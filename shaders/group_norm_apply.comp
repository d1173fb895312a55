#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"
#include "math.glsl"
#include "weight.glsl"

/* y = (x - mean) * rstd * w + b per channel, then silu if asked. */
layout(constant_id = 1) const uint SILU = 0;
layout(constant_id = 2) const uint W_DTYPE = DTYPE_BF16;
layout(constant_id = 3) const uint W_MODE = WIDE16;
layout(constant_id = 4) const uint B_DTYPE = DTYPE_BF16;
layout(constant_id = 5) const uint B_MODE = WIDE16;

layout(push_constant) uniform Push {
	PUSH_HEAD
	uint channels, quads;
	uint rounds;            /* rows a group walks */
};

layout(binding = 0) writeonly buffer Output { vec4 y[]; };
layout(binding = 1) uniform samplerBuffer X;
layout(binding = 2) uniform samplerBuffer Stats;
layout(binding = 3) uniform usamplerBuffer W;
layout(binding = 4) uniform usamplerBuffer B;

void main()
{
	uint quad = gl_WorkGroupID.y * S + lane(), first = row_group() * rounds;
	uint end = min(first + rounds, rows), q = min(quad, quads - 1);
	vec4 mean = texelFetch(Stats, int(in_base[1] + q));
	vec4 factor = texelFetch(Stats, int(in_base[1] + quads + q)) *
		      weight4(W, in_base[2], q, channels, W_DTYPE, W_MODE);
	vec4 bias = weight4(B, in_base[3], q, channels, B_DTYPE, B_MODE);

	for (uint r = first; r < end; r++) {
		vec4 v = (texelFetch(X, int(in_base[0] + (row0 + r) * quads + q)) - mean) * factor + bias;

		if (SILU != 0)
			v = silu(v);
		if (quad < quads)
			y[out_base / 4 + r * quads + quad] = v;
	}
}
