/*
 * softmax(q k^T * scale) v, one pass over the keys with running maximum and sum: what
 * attention.comp and attention_tile.comp share.
 */
#define LOWEST -3.0e38

layout(constant_id = 3) const uint CAUSAL = 0;

layout(push_constant) uniform Push {
	PUSH_HEAD
	uint nq, nk;
	uint quads;             /* texels of one head */
	uint heads_per_kv;
	uint q_stride, k_stride;        /* texels a row */
	float scale;
};

layout(binding = 0) writeonly buffer Output { vec4 y[]; };
layout(binding = 1) uniform samplerBuffer Q;
layout(binding = 2) uniform samplerBuffer K;
layout(binding = 3) uniform samplerBuffer V;

/* exp(x) for x <= 0; a NaN stays one, which the clamp alone would hide. */
float exp_negative(float x)
{
	bool nan = (floatBitsToUint(x) & 0x7FFFFFFFu) > 0x7F800000u;

	return nan ? x : exp(max(x, -88.0));
}

/* One past the last key that a query sees. */
uint key_end(uint query)
{
	return CAUSAL != 0 ? min(nk, query + 1) : nk;
}
