/*
 * What every kernel begins with: inputs are texel views, the output is a storage buffer.
 * A workgroup is one subgroup of S lanes, but where a kernel names another constant
 * (THREADS_ID) for its size.
 */
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require

#include "push.glsl"

layout(constant_id = 0) const uint S = 8;
#ifdef THREADS_ID
layout(constant_id = THREADS_ID) const uint THREADS = 128;
layout(local_size_x_id = THREADS_ID) in;
#else
layout(local_size_x_id = 0) in;
#endif

/* Groups of a flat range lie in rows of this many (runner/ops/groups.h). */
#define FLAT_GROUPS 32768u

uint lane()
{
	return gl_SubgroupInvocationID;
}

uint flat_group()
{
	return gl_WorkGroupID.y * FLAT_GROUPS + gl_WorkGroupID.x;
}

/* Groups along rows, where y counts columns: more than one dimension may hold go on in z. */
uint row_group()
{
	return gl_WorkGroupID.z * FLAT_GROUPS + gl_WorkGroupID.x;
}

/*
 * Sum over runs of n lanes, n a power of two, at most 128. Counted in ones: Mesa 22.3 does
 * not unroll a counter that doubles, and the loop left over makes attention compile for minutes.
 */
float sum_lanes(float v, uint n)
{
	[[unroll]] for (uint i = 0; i < 7; i++)
		if (1u << i < n)
			v += subgroupShuffle(v, lane() ^ (1u << i));
	return v;
}

float max_lanes(float v, uint n)
{
	[[unroll]] for (uint i = 0; i < 7; i++)
		if (1u << i < n)
			v = max(v, subgroupShuffle(v, lane() ^ (1u << i)));
	return v;
}

/* v with the components at columns from cols on set to zero; quad is the index of v in its row. */
vec4 mask_cols(vec4 v, uint quad, uint cols)
{
	uvec4 col = uvec4(0, 1, 2, 3) + 4 * quad;

	return mix(vec4(0), v, lessThan(col, uvec4(cols)));
}
