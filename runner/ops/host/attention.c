/*
 * softmax(q k^T * scale) v in one pass over the keys, with running maximum and sum: a
 * task is a block of queries of one head, scores exist for a block of keys at a time.
 */
#include <math.h>

#include "runner/host/matmul.h"
#include "runner/host/vector.h"
#include "runner/ops/host/host_ops.h"
#include "runner/ops/host/rows.h"
#include "runner/ops/params.h"

enum { QUERIES = 192, KEYS = 384 };             /* a block */

struct attention_job {
	const struct host_call *call;
	const struct attention_params *params;
	uint32_t head_dim, blocks;              /* of queries, a head */
	float scale;
};

/* A block of queries on its way. */
struct block {
	float *scores;                          /* [queries, KEYS], then probabilities */
	float peak[QUERIES], total[QUERIES];    /* running maximum and sum of a query */
	float rescale[QUERIES];                 /* of what was summed before */
	uint32_t row0, rows;
};

VECTOR static float maximum(const float *x, uint32_t n, float top)
{
	enum { LANES = 16 };
	float peak[LANES];
	uint32_t i = 0;

	for (uint32_t l = 0; l < LANES; l++)
		peak[l] = top;
	for (; i + LANES <= n; i += LANES)
		for (uint32_t l = 0; l < LANES; l++)
			peak[l] = x[i + l] > peak[l] ? x[i + l] : peak[l];
	for (; i < n; i++)
		top = x[i] > top ? x[i] : top;
	for (uint32_t l = 0; l < LANES; l++)
		top = peak[l] > top ? peak[l] : top;
	return top;
}

/* x = exp(x - top), and their sum. */
VECTOR static float exponentials(float *x, uint32_t n, float top)
{
	enum { LANES = 16 };
	float sum[LANES] = { 0 }, all = 0;
	uint32_t i = 0;

	for (; i + LANES <= n; i += LANES)
		for (uint32_t l = 0; l < LANES; l++) {
			x[i + l] = vector_exp(x[i + l] - top);
			sum[l] += x[i + l];
		}
	for (; i < n; i++) {
		x[i] = vector_exp(x[i] - top);
		all += x[i];
	}
	for (uint32_t l = 0; l < LANES; l++)
		all += sum[l];
	return all;
}

/* Scores of n keys to probabilities under the running maximum; keys that are not seen to 0. */
static void update_softmax(const struct attention_job *j, struct block *b, uint32_t key0, uint32_t n)
{
	for (uint32_t r = 0; r < b->rows; r++) {
		const uint32_t end = j->params->causal ? b->row0 + r + 1 : key0 + n;
		const uint32_t seen = end <= key0 ? 0 : smaller(end - key0, n);
		float *p = b->scores + (size_t)r * KEYS;
		const float top = maximum(p, seen, b->peak[r]);

		b->rescale[r] = isinf(b->peak[r]) ? 0 : vector_exp(b->peak[r] - top);
		b->peak[r] = top;
		b->total[r] = b->total[r] * b->rescale[r] + exponentials(p, seen, top);
		for (uint32_t i = seen; i < n; i++)
			p[i] = 0;
	}
}

VECTOR static void scale_row(float *x, uint32_t n, float factor)
{
	for (uint32_t i = 0; i < n; i++)
		x[i] *= factor;
}

static void one_block(const void *context, struct host_worker *w, uint64_t task)
{
	const struct attention_job *j = context;
	const struct node *n = j->call->node;
	const uint32_t head = (uint32_t)(task / j->blocks), d = j->head_dim, nk = n->in[1].rows;
	const uint32_t kv = head / (j->params->n_heads / j->params->n_kv_heads) * d;
	struct block b = { .row0 = (uint32_t)(task % j->blocks) * QUERIES };
	const float *q = host_in(j->call, 0, b.row0) + head * d;
	float *y = host_out(j->call, b.row0) + head * d;
	uint32_t end;

	b.rows = smaller(QUERIES, n->out.rows - b.row0);
	b.scores = host_scratch(w, 0, QUERIES * KEYS * sizeof *b.scores);
	if (!b.scores)
		return;
	for (uint32_t r = 0; r < b.rows; r++)
		b.peak[r] = -INFINITY;
	end = j->params->causal ? smaller(nk, b.row0 + b.rows) : nk;
	for (uint32_t key0 = 0; key0 < end && !host_stopped(w); key0 += KEYS) {
		const uint32_t keys = smaller(KEYS, end - key0);

		host_matmul(w, &(struct host_matmul){
			.m = b.rows, .n = keys, .k = d, .scale = j->scale, .transposed = true,
			.a = q, .lda = tensor_stride(n->in[0]),
			.b = host_in(j->call, 1, key0) + kv, .ldb = tensor_stride(n->in[1]),
			.c = b.scores, .ldc = KEYS,
		});
		update_softmax(j, &b, key0, keys);
		for (uint32_t r = 0; key0 && r < b.rows; r++)
			scale_row(y + r * (size_t)tensor_stride(n->out), d, b.rescale[r]);
		host_matmul(w, &(struct host_matmul){
			.m = b.rows, .n = d, .k = keys, .scale = 1, .add = key0 != 0,
			.a = b.scores, .lda = KEYS,
			.b = host_in(j->call, 2, key0) + kv, .ldb = tensor_stride(n->in[2]),
			.c = y, .ldc = tensor_stride(n->out),
		});
	}
	for (uint32_t r = 0; r < b.rows; r++)
		scale_row(y + r * (size_t)tensor_stride(n->out), d, 1 / b.total[r]);
}

void host_attention(const struct host_call *c)
{
	const struct attention_params *p = node_params(c->node);
	struct attention_job job = {
		.call = c, .params = p, .head_dim = c->node->in[0].cols / p->n_heads,
		.blocks = ceil_div(c->node->out.rows, QUERIES),
	};

	job.scale = 1 / sqrtf((float)job.head_dim);
	host_run(c->pool, (uint64_t)p->n_heads * job.blocks, one_block, &job);
}
