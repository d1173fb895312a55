#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"
#include "attention.glsl"

/*
 * attention.glsl for QB queries of one head. Scores: lanes are keys, queries are handed
 * round. Values: lanes are quads of columns, probabilities are handed round. A workgroup
 * makes VC * S quads of the output; wider heads take several, each with scores of its own.
 */
layout(constant_id = 1) const uint QB = 8;
layout(constant_id = 2) const uint VC = 4;

#define KG 2                    /* key groups of S a round */

vec4 acc[QB * VC];
float p[QB * KG];               /* scores, then probabilities, of this lane's keys */
float peak[QB], total[QB];      /* running maximum; this lane's share of the sum */

void compute_scores(int q_at, int k_at[KG])
{
	[[unroll]] for (uint i = 0; i < QB * KG; i++)
		p[i] = 0;
	for (int d = 0; d < int(quads); d++) {
		vec4 q = texelFetch(Q, q_at + d), k[KG];

		[[unroll]] for (uint g = 0; g < KG; g++)
			k[g] = texelFetch(K, k_at[g] + d);
		[[unroll]] for (uint r = 0; r < QB; r++) {
			[[unroll]] for (uint i = 0; i < 4; i++) {
				float x = subgroupShuffle(q[i], r);

				[[unroll]] for (uint g = 0; g < KG; g++)
					p[r * KG + g] += x * k[g][i];
			}
		}
	}
}

/* Scores -> probabilities under the running maximum; what was summed before is rescaled. */
void update_softmax(uint query, uint key)
{
	[[unroll]] for (uint r = 0; r < QB; r++) {
		uint end = key_end(query + r);
		float top = LOWEST, rescale;

		[[unroll]] for (uint g = 0; g < KG; g++) {
			p[r * KG + g] *= scale;
			if (key + g * S < end)
				top = max(top, p[r * KG + g]);
		}
		top = max(peak[r], max_lanes(top, S));
		rescale = exp_negative(peak[r] - top);
		peak[r] = top;
		total[r] *= rescale;
		[[unroll]] for (uint g = 0; g < KG; g++) {
			float e = exp_negative(p[r * KG + g] - top);

			p[r * KG + g] = key + g * S < end ? e : 0;
			total[r] += p[r * KG + g];
		}
		[[unroll]] for (uint c = 0; c < VC; c++)
			acc[r * VC + c] *= rescale;
	}
}

void add_values(uint first, int v_at, uint quad)
{
	[[unroll]] for (uint g = 0; g < KG; g++) {
		[[unroll]] for (uint j = 0; j < S; j++) {
			int row = v_at + int(min(first + g * S + j, nk - 1) * k_stride);
			vec4 v[VC];

			[[unroll]] for (uint c = 0; c < VC; c++)
				v[c] = texelFetch(V, row + int(min(quad + c * S, quads - 1)));
			[[unroll]] for (uint r = 0; r < QB; r++) {
				float w = subgroupShuffle(p[r * KG + g], j);

				[[unroll]] for (uint c = 0; c < VC; c++)
					acc[r * VC + c] += w * v[c];
			}
		}
	}
}

void main()
{
	uint band_row = gl_WorkGroupID.x * QB, query = row0 + band_row;
	uint head = gl_WorkGroupID.y, quad = gl_WorkGroupID.z * VC * S + lane();
	uint kv = head / heads_per_kv * quads;
	int q_at = int(in_base[0] + min(query + lane() % QB, nq - 1) * q_stride + head * quads);
	uint end = key_end(query + QB - 1);

	[[unroll]] for (uint r = 0; r < QB; r++) {
		peak[r] = LOWEST;
		total[r] = 0;
	}
	[[unroll]] for (uint i = 0; i < QB * VC; i++)
		acc[i] = vec4(0);
	for (uint first = 0; first < end; first += KG * S) {
		int k_at[KG];

		[[unroll]] for (uint g = 0; g < KG; g++)
			k_at[g] = int(in_base[1] + min(first + g * S + lane(), nk - 1) * k_stride + kv);
		compute_scores(q_at, k_at);
		update_softmax(query, first + lane());
		add_values(first, int(in_base[2] + kv), quad);
	}
	[[unroll]] for (uint r = 0; r < QB; r++) {
		float share = 1 / sum_lanes(total[r], S);

		if (band_row + r >= rows)
			continue;
		[[unroll]] for (uint c = 0; c < VC; c++)
			if (quad + c * S < quads)
				y[out_base / 4 + (band_row + r) * q_stride + head * quads + quad + c * S] =
					acc[r * VC + c] * share;
	}
}
