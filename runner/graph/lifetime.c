/*
 * Planning a graph: when each tensor lives, then where. Host-visible tensors get places
 * of their own in the host buffer, the rest share the arena; what is computed element by
 * element takes the place of an input that nobody needs again. GPU thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "runner/graph/nodes.h"
#include "runner/graph/plan.h"

static void live_at(struct tensor *root, uint32_t step)
{
	if (!root->used)
		root->first = step;
	root->used = true;
	root->last = step;
}

static void lifetimes(struct graph *g)
{
	for (size_t i = 0; i < g->n_tensors; i++)
		g->tensors[i].used = g->tensors[i].input;
	for (uint32_t i = 0; i < g->n_nodes; i++) {
		const struct node *n = &g->nodes[i];

		for (unsigned k = 0; k < NODE_MAX_IN; k++) {
			struct tensor *root = n->in[k].id ? graph_root_of(g, n->in[k]) : NULL;

			if (!root)
				continue;
			graph_require(g, root->used, "%s: input %u was never written", n->op->name, k);
			live_at(root, i);
		}
		live_at(graph_root_of(g, n->out), i);
	}
}

static bool same_root(const struct graph *g, T a, T b)
{
	return a.id && b.id && graph_root_of(g, a) == graph_root_of(g, b);
}

/* Whether node i may write where its first input lies, whole and for the last time. */
static bool replaces_input(const struct graph *g, uint32_t i)
{
	const struct node *n = &g->nodes[i];
	const struct tensor *from, *out = graph_tensor_of(g, n->out);

	if (!n->op->in_place || !n->in[0].id || out != graph_root_of(g, n->out) || out->first != i)
		return false;
	for (unsigned k = 1; k < NODE_MAX_IN; k++)
		if (same_root(g, n->in[0], n->in[k]))
			return false;
	from = graph_root_of(g, n->in[0]);
	return !from->host && !out->host && from->last == i && from->rows == out->rows &&
	       from->cols == out->cols;
}

/* In order of the nodes, so that a row of such nodes keeps one place. */
static void choose_homes(struct graph *g)
{
	for (size_t i = 0; i < g->n_tensors; i++)
		g->tensors[i].home = (uint32_t)i + 1;
	for (uint32_t i = 0; i < g->n_nodes; i++) {
		struct tensor *out = graph_tensor_of(g, g->nodes[i].out);

		if (replaces_input(g, i))
			out->home = graph_root_of(g, g->nodes[i].in[0])->home;
	}
	for (size_t i = 0; i < g->n_tensors; i++) {
		struct tensor *t = &g->tensors[i], *home = &g->tensors[t->home - 1];

		if (home->last < t->last)
			home->last = t->last;
	}
}

static bool is_root(const struct graph *g, size_t i)
{
	return g->tensors[i].root == i + 1;
}

static void place_host(struct graph *g)
{
	g->host_bytes = 0;
	for (size_t i = 0; i < g->n_tensors; i++) {
		struct tensor *t = &g->tensors[i];

		if (!is_root(g, i) || !t->host)
			continue;
		t->offset = g->host_bytes;
		g->host_bytes += (tensor_bytes(t->rows, t->cols) + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
	}
}

static bool in_arena(const struct graph *g, size_t i)
{
	return is_root(g, i) && g->tensors[i].used && !g->tensors[i].host &&
	       g->tensors[i].home == i + 1;
}

static int place_arena(struct graph *g)
{
	struct plan_item *items = calloc(g->n_tensors + 1, sizeof *items);
	size_t n = 0;
	int r;

	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < g->n_tensors; i++) {
		const struct tensor *t = &g->tensors[i];

		if (in_arena(g, i))
			items[n++] = (struct plan_item){ tensor_bytes(t->rows, t->cols), t->first, t->last, 0 };
	}
	r = plan_place(items, n, &g->arena_bytes);
	n = 0;
	for (size_t i = 0; i < g->n_tensors && r == 0; i++)
		if (in_arena(g, i))
			g->tensors[i].offset = items[n++].offset;
	for (size_t i = 0; i < g->n_tensors && r == 0; i++)
		if (g->tensors[i].home != i + 1)
			g->tensors[i].offset = g->tensors[g->tensors[i].home - 1].offset;
	free(items);
	return r;
}

int graph_place(struct graph *g)
{
	if (graph_ok(g)) {
		graph_rewrite(g);
		lifetimes(g);
	}
	if (graph_ok(g))
		choose_homes(g);
	if (!graph_ok(g))
		return g->err.code;
	place_host(g);
	if (place_arena(g) < 0)
		return err_set(&g->err, -ENOMEM, "graph: out of memory");
	return 0;
}
