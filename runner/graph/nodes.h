#ifndef EASEL_RUNNER_GRAPH_NODES_H
#define EASEL_RUNNER_GRAPH_NODES_H

#include "runner/graph/graph.h"

/* The insides of struct graph, for the files of this folder. */

/* Storage is owned by a root; an alias is a piece of its root. Ids count from 1. */
struct tensor {
	uint32_t rows, cols;
	uint32_t root;                          /* id; its own: a root */
	uint64_t offset;                        /* alias: bytes from the root's start; root: where it was placed */
	bool host;                              /* root: in the graph's host buffer, not in the arena */
	bool input;                             /* root: written by the host */
	bool used;                              /* root: first and last hold */
	uint32_t first, last;                   /* nodes; of a home: also of those that moved in */
	uint32_t home;                          /* root: id of the one whose place it takes; its own: none */
};

struct tap {
	char *name;
	T tensor;
	unsigned parts;                         /* of equal rows */
};

/* A command list, or nodes that the host computes. */
struct step {
	struct vk_cmd *cmd;                     /* NULL: nodes [first, end) */
	size_t first, end;
};

struct graph {
	struct vk *vk;
	struct kernels kernels;
	struct err err;                         /* the first one; code 0: none */

	struct tensor *tensors;
	struct node *nodes;
	struct tap *taps;
	size_t n_tensors, n_nodes, n_taps;
	size_t tensors_allocated, nodes_allocated, taps_allocated;
	bool keep_taps;
	bool rewritten;

	uint64_t arena_bytes, host_bytes;       /* of the last plan */

	struct vk_buffer *host;
	struct step *steps;
	size_t n_steps, steps_allocated;
	bool built;
	const struct arena *arena;              /* that was recorded; its owner outlives the graph's runs */
	uint64_t generation;                    /* of the arena that was recorded */
};

static inline struct tensor *graph_tensor_of(const struct graph *g, T x)
{
	return &g->tensors[x.id - 1];
}

static inline struct tensor *graph_root_of(const struct graph *g, T x)
{
	return &g->tensors[graph_tensor_of(g, x)->root - 1];
}

static inline uint64_t tensor_bytes(uint32_t rows, uint32_t cols)
{
	return (uint64_t)rows * ((cols + 3u) & ~3u) * sizeof(float);
}

/* Where x lies inside its buffer. */
static inline uint64_t graph_offset_of(const struct graph *g, T x)
{
	const struct tensor *t = graph_tensor_of(g, x), *root = graph_root_of(g, x);

	return root->offset + (t == root ? 0 : t->offset);
}

/* The list with room for one more element behind its n, perhaps moved; NULL without memory (list stays). */
void *graph_grown(void *list, size_t n, size_t *allocated, size_t element);
/* Joins nodes that one kernel can compute; once, before planning. */
void graph_rewrite(struct graph *g);
/* Plans; 0 or the sticky error. */
int graph_place(struct graph *g);
/* How this graph computes a node. */
const struct op_kernel *graph_kernel(const struct graph *g, const struct node *n);
/* Records every node into g->steps, for the arena's present buffer. */
int graph_record(struct graph *g, const struct arena *arena, struct err *err);
void graph_drop_steps(struct graph *g);

#endif
