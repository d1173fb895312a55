/*
 * Joins neighbours: a node whose result one other node reads, and nobody else, becomes
 * one with it where its op says how. What is known of both is in the ops. GPU thread.
 */
#include <stdlib.h>
#include <string.h>

#include "runner/graph/nodes.h"

/* Of a root: how many nodes read and write it, in whole or in part. */
struct use {
	uint32_t reads, writes;
	size_t writer;
};

static void count_uses(const struct graph *g, struct use *uses)
{
	memset(uses, 0, g->n_tensors * sizeof *uses);
	for (size_t i = 0; i < g->n_nodes; i++) {
		const struct node *n = &g->nodes[i];
		struct use *out = &uses[graph_tensor_of(g, n->out)->root - 1];

		for (unsigned k = 0; k < NODE_MAX_IN; k++)
			if (n->in[k].id)
				uses[graph_tensor_of(g, n->in[k])->root - 1].reads++;
		out->writes++;
		out->writer = i;
	}
}

/* The node before n that makes its operand k and could go with it, or NULL. */
static struct node *sole_maker(const struct graph *g, const struct use *uses, const struct node *n, unsigned k)
{
	const struct tensor *t = n->in[k].id ? graph_tensor_of(g, n->in[k]) : NULL;
	const struct use *u = t ? &uses[t->root - 1] : NULL;

	if (!t || t->root != n->in[k].id || t->host || u->reads != 1 || u->writes != 1 ||
	    &g->nodes[u->writer] >= n)
		return NULL;
	return &g->nodes[u->writer];
}

static bool join(struct graph *g, const struct use *uses, struct node *n)
{
	for (unsigned k = 0; k < NODE_MAX_IN; k++) {
		struct node *maker = sole_maker(g, uses, n, k), joined;

		if (!maker || !maker->op || !maker->op->absorb || maker->out.id != n->in[k].id ||
		    !maker->op->absorb(maker, n, k, g->kernels.set, &joined))
			continue;
		joined.out = n->out;
		*n = joined;
		maker->op = NULL;               /* gone */
		return true;
	}
	return false;
}

static void close_gaps(struct graph *g)
{
	size_t kept = 0;

	for (size_t i = 0; i < g->n_nodes; i++)
		if (g->nodes[i].op)
			g->nodes[kept++] = g->nodes[i];
	g->n_nodes = kept;
}

void graph_rewrite(struct graph *g)
{
	struct use *uses = g->rewritten ? NULL : calloc(g->n_tensors + 1, sizeof *uses);
	bool joined = uses != NULL;

	/* A joined node may be joined again. Without memory the graph is right as it is. */
	while (joined) {
		joined = false;
		count_uses(g, uses);
		for (size_t i = 0; i < g->n_nodes; i++)
			joined |= join(g, uses, &g->nodes[i]);
		close_gaps(g);
	}
	free(uses);
	g->rewritten = true;
}
