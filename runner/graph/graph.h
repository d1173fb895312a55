#ifndef EASEL_RUNNER_GRAPH_GRAPH_H
#define EASEL_RUNNER_GRAPH_GRAPH_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/dtype.h"
#include "common/err.h"
#include "runner/graph/kernels.h"
#include "runner/quant/quant.h"
#include "runner/vk/vk.h"

/*
 * A computation as a flat list of nodes: calling an op appends a node and returns its
 * tensor. graph_build() places all tensors in one arena by their lifetimes and records
 * the command lists once; graph_run() submits them, in slices, any number of times.
 *
 * The first error (a shape that does not fit, no memory) is sticky and reported by
 * graph_build(), so that model code carries no error branches.
 */
struct graph;

/*
 * An activation: float32 [rows, cols], row-major, row stride rounded up to 4 floats
 * (what lies in the padding is undefined). Pictures are [height * width, channels].
 */
typedef struct {
	uint32_t id;                            /* 0: none */
	uint32_t rows, cols;
} T;

struct weight_array {
	struct vk_buffer *buffer;
	uint64_t offset, bytes;
};

/*
 * A parameter on the device as it is stored, row-major: plain (F32, F16, BF16), or a
 * matrix in a quantised form that quant_check() has passed.
 */
struct weight {
	struct vk_buffer *buffer;
	uint64_t offset, bytes;                 /* of the data inside the buffer */
	enum dtype dtype;                       /* of a plain one */
	unsigned rank;                          /* 0: absent */
	uint32_t dim[4];
	bool taps_last;                         /* of a 3x3 kernel: lies as [n, c, 9], for host kernels only */
	struct quant quant;
	struct weight_array scale, bias;        /* of a grouped form; bytes 0: none */
};

static inline bool weight_quantised(const struct weight *w)
{
	return w && w->rank && w->quant.format != QUANT_NONE;
}

/* Space for the tensors of graphs that run one after another; grows, never shrinks. */
struct arena {
	struct vk_buffer *buffer;               /* VK_DEVICE */
	uint64_t size;
	uint64_t generation;                    /* changes when the buffer does: older recordings are stale */
};

struct node;
struct host_call;

/* How a kernel set computes an op: one of the two, or neither (it falls back). */
struct op_kernel {
	/*
	 * Completes a dispatch that computes output rows [row0, row0 + rows): shader, spec from
	 * constant_id 1 on, input formats, op parameters behind the push head, groups.
	 * Bindings, push head and spec 0 (subgroup size) are the graph's.
	 */
	void (*dispatch)(const struct node *n, const struct vk_limits *limits,
			 uint32_t row0, uint32_t rows, struct vk_dispatch *d);
	void (*run)(const struct host_call *c);
};

/* What an op is; one constant per op, in its own file under runner/ops. */
struct op_class {
	const char *name;
	uint32_t row_multiple;                  /* bands start at multiples of this; 1 if 0 */
	bool whole;                             /* rows cannot be cut into bands */
	/*
	 * An element of out depends on in[0] by that element alone, or by its row, all of
	 * which is read before any of it is written: out may take in[0]'s place.
	 */
	bool in_place;
	bool quantised;                         /* its first weight may be */
	/* Floating-point operations for one output row, for slicing. */
	double (*row_flops)(const struct node *n);
	/*
	 * Whether one node can do what self and its only reader do, at a gain in this kernel
	 * set; which is the operand of consumer that self makes. *ret is that node, but for
	 * out. NULL: never.
	 */
	bool (*absorb)(const struct node *self, const struct node *consumer, unsigned which,
		       enum kernel_set set, struct node *ret);
	struct op_kernel kernels[KERNEL_SETS];
};

enum { NODE_MAX_IN = 4, NODE_MAX_WEIGHTS = 4, NODE_PARAMS = 64 };

/*
 * Inputs are bound in the order in[0..], weights[0..] to bindings 1, 2, ...; absent ones (id
 * 0, rank 0) take no binding. A quantised weight takes three: data, scales, biases, all as
 * VK_R32_UINT from the word below their first byte; for arrays it is without the data again.
 */
struct node {
	const struct op_class *op;
	T in[NODE_MAX_IN];
	const struct weight *weights[NODE_MAX_WEIGHTS];
	T out;
	union {
		uint8_t bytes[NODE_PARAMS];
		uint64_t align;
	} params;                               /* the op's own struct */
};

struct graph *graph_create(struct vk *vk, struct kernels kernels);      /* NULL without memory */
void graph_destroy(struct graph **g);

/* ---- building (any order, before graph_build) ---- */
T graph_input(struct graph *g, uint32_t rows, uint32_t cols);   /* host-visible, written by graph_write() */
T graph_add(struct graph *g, struct node n, uint32_t rows, uint32_t cols);      /* out is filled in */
/* As graph_add(), but the node writes rows [row0, row0 + rows) of an existing tensor (concatenation). */
void graph_add_into(struct graph *g, struct node n, T target, uint32_t row0, uint32_t rows);
T graph_tensor(struct graph *g, uint32_t rows, uint32_t cols);  /* target for graph_add_into() */
void graph_output(struct graph *g, T x);        /* host-visible, kept to the end of the run */
/* Aliases, nothing is copied. */
T graph_rows(struct graph *g, T x, uint32_t row0, uint32_t rows);
T graph_part(struct graph *g, T x, unsigned i, unsigned n);      /* one of n equal runs of rows */
T graph_cols(struct graph *g, T x, uint32_t col0, uint32_t cols);       /* x has one row; col0 % 4 == 0 */
T graph_reshape(struct graph *g, T x, uint32_t rows, uint32_t cols);    /* both cols % 4 == 0, same product */
/* False (and a sticky error) when cond is false. */
bool graph_require(struct graph *g, bool cond, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool graph_ok(const struct graph *g);
bool graph_on_host(const struct graph *g);      /* its kernel set computes on the host */
/* Names a tensor after its module path in the reference; returns x. Free unless taps are kept. */
T graph_tap(struct graph *g, T x, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Of a batch: x holds one after the other what the reference makes of so many sequences. */
T graph_tap_parts(struct graph *g, T x, unsigned parts, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void graph_keep_taps(struct graph *g, bool keep);       /* tests: tapped tensors become outputs; call before building */

/* ---- running ---- */
/* Lifetimes -> offsets; *ret_bytes is the arena this graph needs. Nothing is allocated. */
int graph_plan(struct graph *g, uint64_t *ret_bytes, struct err *err);
/* Plans, grows the arena if needed, records. -ENOMEM names the bytes when the arena may not grow so far. */
int graph_build(struct graph *g, struct arena *arena, struct err *err);
size_t graph_n_nodes(const struct graph *g);     /* after planning: of those that were joined, one */
bool graph_stale(const struct graph *g, const struct arena *arena);     /* recorded for an older arena: build again */
/* Memory of the host that a built graph holds, the driver's part of it estimated. */
uint64_t graph_host_bytes(const struct graph *g);
/* Asked between slices; true stops the run with -ECANCELED. NULL: never. */
typedef bool (*graph_cancelled)(void *context);
int graph_run(struct graph *g, graph_cancelled cancelled, void *context, struct err *err);

/* Dense [rows, cols] floats in and out of inputs and outputs (also kept taps). */
void graph_write(struct graph *g, T x, const float *src);
void graph_read(struct graph *g, T x, float *dst);
/* Kept taps, in the order they were made, and of how many parts: NULL name at the end. */
const char *graph_tap_name(const struct graph *g, size_t i, T *ret, unsigned *ret_parts);

/* -ENOMEM, saying so, when the device has no room for a workspace of so many bytes. */
int arena_check(struct vk *vk, uint64_t bytes, struct err *err);
/* Grows the arena to at least so many bytes, which makes older recordings stale. */
int arena_reserve(struct vk *vk, struct arena *a, uint64_t bytes, struct err *err);
void arena_finish(struct vk *vk, struct arena *a);

/* Bytes between rows of x. */
static inline uint32_t tensor_stride(T x) { return (x.cols + 3u) & ~3u; }       /* floats */

#endif
