#version 450
#extension GL_GOOGLE_include_directive : require
#define THREADS_ID 8
#include "kernel.glsl"
#include "attention.glsl"

/*
 * attention.glsl for QB queries of one head and KB keys a round, 128 threads: 16 along
 * keys or columns, 8 along queries, four queries each. Keys and queries, then values,
 * go through shared memory. A workgroup makes VC * ACROSS quads of the output; wider
 * heads take several, each with scores of its own.
 */
layout(constant_id = 1) const uint VC = 2;              /* 1, 2 or 4 */

#define QB 32
#define KB 32
#define ACROSS 16
#define OWN 4                   /* queries of a thread */
#define QUADS 8                 /* of queries and keys at a time */
#define QUADS_ROW 9             /* rows begin in different banks */
#define SHARERS 4               /* threads that share a query's softmax */

const uint V_KEYS = 32 / VC;    /* of values at a time */

shared vec4 stage[(QB + KB) * QUADS_ROW];               /* queries and keys, or values */
shared float p[QB * (KB + 1)];                          /* scores, then probabilities */
shared float part[QB * SHARERS], factor[QB];

vec4 acc[OWN * VC];
float peak = LOWEST, total = 0; /* of the query whose softmax this thread has a share in */

uint thread()
{
	return gl_LocalInvocationIndex;
}

/* QUADS columns of queries and keys from quad on; the head's end is padded with zeros. */
void stage_keys(uint query, uint first, uint quad, int q_at, int k_at)
{
	for (uint i = thread(); i < QB * QUADS; i += THREADS) {
		uint row = i / QUADS, at = quad + i % QUADS;
		bool keep = at < quads;

		stage[row * QUADS_ROW + i % QUADS] = keep ?
			texelFetch(Q, q_at + int(min(query + row, nq - 1) * q_stride + at)) : vec4(0);
		stage[(QB + row) * QUADS_ROW + i % QUADS] = keep ?
			texelFetch(K, k_at + int(min(first + row, nk - 1) * k_stride + at)) : vec4(0);
	}
}

void add_scores(uint row, uint col, inout float s[2 * OWN])
{
	[[unroll]] for (uint d = 0; d < QUADS; d++) {
		vec4 k0 = stage[(QB + col) * QUADS_ROW + d], k1 = stage[(QB + col + ACROSS) * QUADS_ROW + d];

		[[unroll]] for (uint r = 0; r < OWN; r++) {
			vec4 q = stage[(row + r) * QUADS_ROW + d];

			s[2 * r] += dot(q, k0);
			s[2 * r + 1] += dot(q, k1);
		}
	}
}

void compute_scores(uint query, uint first, int q_at, int k_at)
{
	uint row = thread() / ACROSS * OWN, col = thread() % ACROSS;
	float s[2 * OWN];

	[[unroll]] for (uint i = 0; i < 2 * OWN; i++)
		s[i] = 0;
	for (uint quad = 0; quad < quads; quad += QUADS) {
		barrier();
		stage_keys(query, first, quad, q_at, k_at);
		barrier();
		add_scores(row, col, s);
	}
	[[unroll]] for (uint r = 0; r < OWN; r++) {
		p[(row + r) * (KB + 1) + col] = s[2 * r] * scale;
		p[(row + r) * (KB + 1) + col + ACROSS] = s[2 * r + 1] * scale;
	}
}

/* Scores -> probabilities under the running maximum; factor: for what was summed before. */
void update_softmax(uint query, uint first)
{
	uint row = thread() / SHARERS, share = thread() % SHARERS, end = key_end(query + row);
	float top = LOWEST, rescale;

	for (uint c = share; c < KB; c += SHARERS)
		if (first + c < end)
			top = max(top, p[row * (KB + 1) + c]);
	part[thread()] = top;
	barrier();
	top = peak;
	[[unroll]] for (uint i = 0; i < SHARERS; i++)
		top = max(top, part[row * SHARERS + i]);
	rescale = exp_negative(peak - top);
	peak = top;
	total *= rescale;
	factor[row] = rescale;          /* the same from all sharers */
	for (uint c = share; c < KB; c += SHARERS) {
		float e = exp_negative(p[row * (KB + 1) + c] - top);

		e = first + c < end ? e : 0;
		p[row * (KB + 1) + c] = e;
		total += e;
	}
}

void stage_values(uint key, uint quad, int v_at)
{
	for (uint i = thread(); i < V_KEYS * VC * ACROSS; i += THREADS) {
		uint row = i / (VC * ACROSS), at = quad + i % (VC * ACROSS);

		stage[i] = texelFetch(V, v_at + int(min(key + row, nk - 1) * k_stride + min(at, quads - 1)));
	}
}

void add_values(uint first, uint quad, int v_at)
{
	uint row = thread() / ACROSS * OWN, col = thread() % ACROSS;

	for (uint done = 0; done < KB; done += V_KEYS) {
		barrier();
		stage_values(first + done, quad, v_at);
		barrier();
		for (uint j = 0; j < V_KEYS; j++) {
			vec4 v[VC];

			[[unroll]] for (uint c = 0; c < VC; c++)
				v[c] = stage[j * VC * ACROSS + c * ACROSS + col];
			[[unroll]] for (uint r = 0; r < OWN; r++) {
				float w = p[(row + r) * (KB + 1) + done + j];

				[[unroll]] for (uint c = 0; c < VC; c++)
					acc[r * VC + c] += w * v[c];
			}
		}
	}
}

void rescale_sums()
{
	[[unroll]] for (uint r = 0; r < OWN; r++)
		[[unroll]] for (uint c = 0; c < VC; c++)
			acc[r * VC + c] *= factor[thread() / ACROSS * OWN + r];
}

/* Each query's whole sum, inverted, for all threads. */
void share_totals()
{
	barrier();
	part[thread()] = total;
	barrier();
}

void store(uint band_row, uint head, uint quad)
{
	[[unroll]] for (uint r = 0; r < OWN; r++) {
		uint row = thread() / ACROSS * OWN + r;
		float sum = 0;

		if (band_row + row >= rows)
			continue;
		[[unroll]] for (uint i = 0; i < SHARERS; i++)
			sum += part[row * SHARERS + i];
		[[unroll]] for (uint c = 0; c < VC; c++) {
			uint at = quad + c * ACROSS + thread() % ACROSS;

			if (at < quads)
				y[out_base / 4 + (band_row + row) * q_stride + head * quads + at] =
					acc[r * VC + c] * (1 / sum);
		}
	}
}

void main()
{
	uint band_row = gl_WorkGroupID.x * QB, query = row0 + band_row;
	uint head = gl_WorkGroupID.y, quad = gl_WorkGroupID.z * VC * ACROSS;
	uint kv = head / heads_per_kv * quads, end = key_end(query + QB - 1);

	[[unroll]] for (uint i = 0; i < OWN * VC; i++)
		acc[i] = vec4(0);
	for (uint first = 0; first < end; first += KB) {
		compute_scores(query, first, int(in_base[0] + head * quads), int(in_base[1] + kv));
		barrier();
		update_softmax(query, first);
		barrier();
		rescale_sums();
		add_values(first, quad, int(in_base[2] + kv));
	}
	share_totals();
	store(band_row, head, quad);
}
