/*
 * Building a graph: tensors, aliases, nodes, taps, and the sticky error. Owns the lists
 * of a graph. GPU thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner/graph/nodes.h"

/* More is no tensor of a picture; it keeps sizes far from overflow. */
#define MAX_TENSOR_BYTES (UINT64_C(1) << 40)

void *graph_grown(void *list, size_t n, size_t *allocated, size_t element)
{
	const size_t more = *allocated ? 2 * *allocated : 64;
	void *grown;

	if (n < *allocated)
		return list;
	grown = realloc(list, more * element);
	if (grown)
		*allocated = more;
	return grown;
}

struct graph *graph_create(struct vk *vk, struct kernels kernels)
{
	struct graph *g = calloc(1, sizeof *g);

	if (!g)
		return NULL;
	g->vk = vk;
	g->kernels = kernels;
	return g;
}

void graph_destroy(struct graph **pointer)
{
	struct graph *g = *pointer;

	*pointer = NULL;
	if (!g)
		return;
	graph_drop_steps(g);
	vk_buffer_destroy(g->vk, &g->host);
	for (size_t i = 0; i < g->n_taps; i++)
		free(g->taps[i].name);
	free(g->taps);
	free(g->nodes);
	free(g->tensors);
	free(g);
}

bool graph_on_host(const struct graph *g)
{
	return kernel_sets[g->kernels.set].host;
}

bool graph_ok(const struct graph *g)
{
	return g->err.code == 0;
}

bool graph_require(struct graph *g, bool cond, const char *format, ...)
{
	char text[sizeof g->err.text];
	va_list args;

	if (cond)
		return true;
	if (!graph_ok(g))
		return false;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	err_set(&g->err, -EINVAL, "%s", text);
	return false;
}

static void out_of_memory(struct graph *g)
{
	if (graph_ok(g))
		err_set(&g->err, -ENOMEM, "graph: out of memory");
}

/* A tensor this graph made, with the dimensions it has here. */
static bool known(const struct graph *g, T x)
{
	return x.id && x.id <= g->n_tensors && graph_tensor_of(g, x)->rows == x.rows &&
	       graph_tensor_of(g, x)->cols == x.cols;
}

/* On an error the tensor keeps its dimensions but has no id. */
static T append_tensor(struct graph *g, struct tensor t)
{
	T x = { .rows = t.rows, .cols = t.cols };
	struct tensor *tensors;

	if (!graph_ok(g))
		return x;
	tensors = graph_grown(g->tensors, g->n_tensors, &g->tensors_allocated, sizeof *tensors);
	if (!tensors) {
		out_of_memory(g);
		return x;
	}
	g->tensors = tensors;
	x.id = (uint32_t)++g->n_tensors;
	if (!t.root)
		t.root = x.id;
	*graph_tensor_of(g, x) = t;
	return x;
}

T graph_tensor(struct graph *g, uint32_t rows, uint32_t cols)
{
	const bool fits = rows && cols && cols <= UINT32_MAX - 3 &&
			  (uint64_t)rows * cols <= MAX_TENSOR_BYTES / sizeof(float);

	graph_require(g, fits, "a tensor of %" PRIu32 " x %" PRIu32 " cannot be made", rows, cols);
	return append_tensor(g, (struct tensor){ .rows = rows, .cols = cols });
}

T graph_input(struct graph *g, uint32_t rows, uint32_t cols)
{
	T x = graph_tensor(g, rows, cols);

	if (graph_ok(g)) {
		graph_root_of(g, x)->host = true;
		graph_root_of(g, x)->input = true;
	}
	return x;
}

void graph_output(struct graph *g, T x)
{
	if (graph_require(g, known(g, x), "graph_output: not a tensor of this graph"))
		graph_root_of(g, x)->host = true;
}

static T alias(struct graph *g, T x, uint64_t offset, uint32_t rows, uint32_t cols)
{
	struct tensor t = { .rows = rows, .cols = cols };

	if (graph_ok(g)) {
		const struct tensor *of = graph_tensor_of(g, x);

		t.root = of->root;
		t.offset = offset + (of->root == x.id ? 0 : of->offset);
	}
	return append_tensor(g, t);
}

T graph_rows(struct graph *g, T x, uint32_t row0, uint32_t rows)
{
	graph_require(g, known(g, x) && rows && (uint64_t)row0 + rows <= x.rows,
		      "rows %" PRIu32 " to %" PRIu64 " of a tensor of %" PRIu32 " rows",
		      row0, (uint64_t)row0 + rows, x.rows);
	return alias(g, x, tensor_bytes(row0, x.cols), rows, x.cols);
}

T graph_part(struct graph *g, T x, unsigned i, unsigned n)
{
	if (!graph_require(g, n && x.rows % n == 0, "%" PRIu32 " rows in %u parts", x.rows, n))
		return x;
	return n == 1 ? x : graph_rows(g, x, i * (x.rows / n), x.rows / n);
}

T graph_cols(struct graph *g, T x, uint32_t col0, uint32_t cols)
{
	graph_require(g, known(g, x) && x.rows == 1 && col0 % 4 == 0 && cols && (uint64_t)col0 + cols <= x.cols,
		      "columns %" PRIu32 " to %" PRIu64 " of a tensor of %" PRIu32 " x %" PRIu32,
		      col0, (uint64_t)col0 + cols, x.rows, x.cols);
	return alias(g, x, col0 * sizeof(float), 1, cols);
}

T graph_reshape(struct graph *g, T x, uint32_t rows, uint32_t cols)
{
	graph_require(g, known(g, x) && x.cols % 4 == 0 && cols && cols % 4 == 0 &&
		      (uint64_t)rows * cols == (uint64_t)x.rows * x.cols,
		      "%" PRIu32 " x %" PRIu32 " cannot be reshaped to %" PRIu32 " x %" PRIu32,
		      x.rows, x.cols, rows, cols);
	return alias(g, x, 0, rows, cols);
}

static void append_node(struct graph *g, struct node n)
{
	struct node *nodes;

	for (unsigned i = 0; i < NODE_MAX_IN; i++)
		if (n.in[i].id || n.in[i].rows)
			graph_require(g, known(g, n.in[i]), "%s: input %u is not a tensor of this graph", n.op->name, i);
	for (unsigned i = 0; i < NODE_MAX_WEIGHTS; i++)
		graph_require(g, !weight_quantised(n.weights[i]) || (n.op->quantised && i == 0),
			      "%s: reads no quantised weight", n.op->name);
	if (!graph_ok(g))
		return;
	graph_require(g, !graph_root_of(g, n.out)->input, "%s: writes into an input", n.op->name);
	nodes = graph_grown(g->nodes, g->n_nodes, &g->nodes_allocated, sizeof *nodes);
	if (!nodes) {
		out_of_memory(g);
		return;
	}
	g->nodes = nodes;
	g->nodes[g->n_nodes++] = n;
}

T graph_add(struct graph *g, struct node n, uint32_t rows, uint32_t cols)
{
	n.out = graph_tensor(g, rows, cols);
	append_node(g, n);
	return n.out;
}

void graph_add_into(struct graph *g, struct node n, T target, uint32_t row0, uint32_t rows)
{
	n.out = graph_rows(g, target, row0, rows);
	append_node(g, n);
}

void graph_keep_taps(struct graph *g, bool keep)
{
	g->keep_taps = keep;
}

/* Takes over name. */
static void append_tap(struct graph *g, T x, unsigned parts, char *name)
{
	struct tap *taps = graph_grown(g->taps, g->n_taps, &g->taps_allocated, sizeof *taps);

	if (!taps) {
		free(name);
		out_of_memory(g);
		return;
	}
	g->taps = taps;
	g->taps[g->n_taps++] = (struct tap){ .name = name, .tensor = x, .parts = parts };
}

static T tap_as(struct graph *g, T x, unsigned parts, const char *format, va_list args)
{
	char *name = NULL;

	if (!g->keep_taps)
		return x;
	graph_output(g, x);
	if (!graph_ok(g))
		return x;
	if (vasprintf(&name, format, args) < 0)
		out_of_memory(g);
	else
		append_tap(g, x, parts, name);
	return x;
}

T graph_tap(struct graph *g, T x, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	x = tap_as(g, x, 1, format, args);
	va_end(args);
	return x;
}

T graph_tap_parts(struct graph *g, T x, unsigned parts, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	x = tap_as(g, x, parts, format, args);
	va_end(args);
	return x;
}

const char *graph_tap_name(const struct graph *g, size_t i, T *ret, unsigned *ret_parts)
{
	if (i >= g->n_taps)
		return NULL;
	*ret = g->taps[i].tensor;
	*ret_parts = g->taps[i].parts;
	return g->taps[i].name;
}
