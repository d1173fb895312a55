#version 450
#extension GL_GOOGLE_include_directive : require
/*
 * y [rows, cols] = x + scale * w [cols], the smallest kernel that uses all there is:
 * push head, parameters, a tensor, an optional weight in texels of 1, 2 or 4 words.
 */
#include "push.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint WORDS = 1;   /* of a weight's texel; 0: no weight */

layout(push_constant) uniform Push {
	PUSH_HEAD
	uint cols;
	float scale;
};
layout(binding = 0) writeonly buffer Y { float y[]; };
layout(binding = 1) uniform samplerBuffer x;
layout(binding = 2) uniform usamplerBuffer w;

float weight(uint c)
{
	if (WORDS == 0)
		return 0.0;
	return uintBitsToFloat(texelFetch(w, int(in_base[1] + c / WORDS))[c % WORDS]);
}

void main()
{
	const uint stride = (cols + 3) / 4 * 4;
	const uint c = gl_GlobalInvocationID.x;
	const uint row = gl_GlobalInvocationID.y;

	if (c >= cols || row >= rows)
		return;
	y[out_base + row * stride + c] =
		texelFetch(x, int(in_base[0] + (row0 + row) * (stride / 4) + c / 4))[c % 4] + scale * weight(c);
}
