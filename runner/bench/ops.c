/*
 * The ops at the shapes the models give them: one row a case, and how each kind of op is
 * put into a graph of its own. GPU thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner/bench/bench_private.h"
#include "runner/ops/op.h"

enum { MAX_INPUTS = 3, GROUPS = 32, SGEMM_MAX_ROWS = 4096 };

/* What a case's graph refers to while it lives. */
struct operands {
	struct weight w[2];                     /* rank 0, of the case's dtype: made what the op wants */
	T in[MAX_INPUTS];
};

struct op_kind {
	const char *name;
	T (*add)(struct graph *g, const struct op_case *c, struct operands *o);
	/* The product that does the same work; NULL where memory binds. */
	void (*product)(const struct op_case *c, uint64_t mnk[OP_DIMS]);
	/* Of the result, and how many tensors of that shape are read or written. */
	void (*shape)(const struct op_case *c, uint32_t *rows, uint32_t *cols);
	unsigned passes;
};

static const struct weight *vector(struct weight *w, uint32_t n)
{
	w->rank = 1;
	w->dim[0] = n;
	w->bytes = dtype_size(w->dtype) * n;
	return w;
}

static const struct weight *matrix(struct weight *w, unsigned rank, const uint32_t *dim)
{
	w->rank = rank;
	w->bytes = dtype_size(w->dtype);
	for (unsigned i = 0; i < rank; i++)
		w->bytes *= w->dim[i] = dim[i];
	return w;
}

/* ---- what binds is arithmetic ---- */

static void linear_product(const struct op_case *c, uint64_t mnk[OP_DIMS])
{
	for (int i = 0; i < OP_DIMS; i++)
		mnk[i] = c->dim[i];
}

static T add_linear(struct graph *g, const struct op_case *c, struct operands *o)
{
	o->in[0] = graph_input(g, c->dim[OP_M], c->dim[OP_K]);
	return op_linear(g, o->in[0], matrix(&o->w[0], 2, (uint32_t[]){ c->dim[OP_N], c->dim[OP_K] }),
			 NULL);
}

/* dim: pixels of a side of the result, channels out, channels in. */
static void conv_product(const struct op_case *c, uint64_t mnk[OP_DIMS])
{
	mnk[OP_M] = (uint64_t)c->dim[OP_M] * c->dim[OP_M];
	mnk[OP_N] = c->dim[OP_N];
	mnk[OP_K] = 9 * (uint64_t)c->dim[OP_K];
}

static T add_conv_of(struct graph *g, const struct op_case *c, struct operands *o, enum conv_size size)
{
	const uint32_t out = c->dim[OP_M], side = size == CONV_DOUBLE ? out / 2 : out;
	const uint32_t dim[] = { 9, c->dim[OP_N], c->dim[OP_K] };

	o->in[0] = graph_input(g, side * side, c->dim[OP_K]);
	return op_conv3x3(g, o->in[0], side, side, size, matrix(&o->w[0], 3, dim),
			  vector(&o->w[1], c->dim[OP_N]));
}

static T add_conv(struct graph *g, const struct op_case *c, struct operands *o)
{
	return add_conv_of(g, c, o, CONV_SAME);
}

static T add_conv_double(struct graph *g, const struct op_case *c, struct operands *o)
{
	return add_conv_of(g, c, o, CONV_DOUBLE);
}

static void image_shape(const struct op_case *c, uint32_t *rows, uint32_t *cols)
{
	*rows = c->dim[OP_M] * c->dim[OP_M];
	*cols = c->dim[OP_N];
}

/* dim: tokens, heads, head_dim. Scores and values: two products of m x m x heads * head_dim. */
static void attention_product(const struct op_case *c, uint64_t mnk[OP_DIMS])
{
	mnk[OP_M] = c->dim[OP_M];
	mnk[OP_N] = 2 * (uint64_t)c->dim[OP_M];
	mnk[OP_K] = (uint64_t)c->dim[OP_N] * c->dim[OP_K];
}

static T add_attention(struct graph *g, const struct op_case *c, struct operands *o)
{
	const uint32_t heads = c->dim[OP_N], cols = heads * c->dim[OP_K];

	for (int i = 0; i < 3; i++)
		o->in[i] = graph_input(g, c->dim[OP_M], cols);
	return op_attention(g, o->in[0], o->in[1], o->in[2], 1, heads, heads, false);
}

static void heads_shape(const struct op_case *c, uint32_t *rows, uint32_t *cols)
{
	*rows = c->dim[OP_M];
	*cols = c->dim[OP_N] * c->dim[OP_K];
}

/* ---- what binds is memory; dim: rows, columns ---- */

static void plane_shape(const struct op_case *c, uint32_t *rows, uint32_t *cols)
{
	*rows = c->dim[OP_M];
	*cols = c->dim[OP_N];
}

static T plane(struct graph *g, const struct op_case *c, struct operands *o, int i)
{
	return o->in[i] = graph_input(g, c->dim[OP_M], c->dim[OP_N]);
}

static T add_group_norm(struct graph *g, const struct op_case *c, struct operands *o)
{
	return op_group_norm(g, plane(g, c, o, 0), GROUPS, vector(&o->w[0], c->dim[OP_N]),
			     vector(&o->w[1], c->dim[OP_N]), 1e-6f, true);
}

static T add_rms_norm(struct graph *g, const struct op_case *c, struct operands *o)
{
	return op_rms_norm(g, plane(g, c, o, 0), vector(&o->w[0], c->dim[OP_N]), 1e-5f);
}

static T add_layer_norm(struct graph *g, const struct op_case *c, struct operands *o)
{
	return op_layer_norm(g, plane(g, c, o, 0), 1e-5f);
}

static T add_rope(struct graph *g, const struct op_case *c, struct operands *o)
{
	o->in[0] = graph_input(g, c->dim[OP_M], c->dim[OP_N] * c->dim[OP_K]);
	o->in[1] = graph_input(g, c->dim[OP_M], c->dim[OP_K]);
	return op_rope(g, o->in[0], o->in[1], c->dim[OP_N], ROPE_INTERLEAVED);
}

static T add_add(struct graph *g, const struct op_case *c, struct operands *o)
{
	return op_add(g, plane(g, c, o, 0), plane(g, c, o, 1));
}

static T add_gate_add(struct graph *g, const struct op_case *c, struct operands *o)
{
	o->in[2] = graph_input(g, 1, c->dim[OP_N]);
	return op_gate_add(g, plane(g, c, o, 0), o->in[2], plane(g, c, o, 1));
}

static T add_swiglu(struct graph *g, const struct op_case *c, struct operands *o)
{
	return op_swiglu(g, plane(g, c, o, 0), plane(g, c, o, 1));
}

static T add_silu(struct graph *g, const struct op_case *c, struct operands *o)
{
	return op_silu(g, plane(g, c, o, 0));
}

static const struct op_kind
	k_linear = { "linear", add_linear, linear_product, plane_shape, 1 },
	k_conv = { "conv3x3", add_conv, conv_product, image_shape, 2 },
	k_conv_double = { "conv3x3 double", add_conv_double, conv_product, image_shape, 2 },
	k_attention = { "attention", add_attention, attention_product, heads_shape, 4 },
	k_group_norm = { "group norm silu", add_group_norm, NULL, plane_shape, 2 },
	k_rms_norm = { "rms norm", add_rms_norm, NULL, plane_shape, 2 },
	k_layer_norm = { "layer norm", add_layer_norm, NULL, plane_shape, 2 },
	k_rope = { "rope", add_rope, NULL, heads_shape, 2 },
	k_add = { "add", add_add, NULL, plane_shape, 3 },
	k_gate_add = { "gate add", add_gate_add, NULL, plane_shape, 3 },
	k_swiglu = { "swiglu", add_swiglu, NULL, plane_shape, 3 },
	k_silu = { "silu", add_silu, NULL, plane_shape, 2 };

/* ---- cases ---- */

/*
 * Z-Image is 3840 wide with 30 heads, klein 4B 3072; rows are tokens: a caption, 256 x 256,
 * 512 x 512, 1024 x 1024. Convolutions and group norms are the VAE's at 256 x 256.
 */
static const struct op_case cases[] = {
	{ &k_linear, { 32, 3840, 3840 }, DTYPE_BF16 },
	{ &k_linear, { 32, 9728, 2560 }, DTYPE_BF16 },
	{ &k_linear, { 288, 3840, 3840 }, DTYPE_BF16 },
	{ &k_linear, { 288, 3840, 3840 }, DTYPE_F32 },
	{ &k_linear, { 288, 3840, 3840 }, DTYPE_F16 },
	{ &k_linear, { 288, 10240, 3840 }, DTYPE_BF16 },
	{ &k_linear, { 288, 3840, 10240 }, DTYPE_BF16 },
	{ &k_linear, { 1056, 3840, 3840 }, DTYPE_BF16 },
	{ &k_linear, { 1056, 10240, 3840 }, DTYPE_BF16 },
	{ &k_linear, { 768, 3072, 3072 }, DTYPE_BF16 },
	{ &k_linear, { 768, 9216, 3072 }, DTYPE_BF16 },
	{ &k_linear, { 768, 3072, 12288 }, DTYPE_BF16 },
	{ &k_attention, { 288, 30, 128 }, DTYPE_NONE },
	{ &k_attention, { 1056, 30, 128 }, DTYPE_NONE },
	{ &k_attention, { 4160, 30, 128 }, DTYPE_NONE },
	{ &k_attention, { 768, 24, 128 }, DTYPE_NONE },
	{ &k_attention, { 1024, 1, 512 }, DTYPE_NONE },
	{ &k_conv, { 32, 512, 512 }, DTYPE_BF16 },
	{ &k_conv, { 64, 512, 512 }, DTYPE_BF16 },
	{ &k_conv_double, { 64, 512, 512 }, DTYPE_BF16 },
	{ &k_conv, { 128, 256, 256 }, DTYPE_BF16 },
	{ &k_conv, { 256, 128, 128 }, DTYPE_BF16 },
	{ &k_group_norm, { 4096, 512 }, DTYPE_BF16 },
	{ &k_group_norm, { 65536, 128 }, DTYPE_BF16 },
	{ &k_rms_norm, { 288, 3840 }, DTYPE_BF16 },
	{ &k_rms_norm, { 1056, 3840 }, DTYPE_BF16 },
	{ &k_layer_norm, { 1056, 3840 }, DTYPE_NONE },
	{ &k_rope, { 1056, 30, 128 }, DTYPE_NONE },
	{ &k_add, { 1056, 3840 }, DTYPE_NONE },
	{ &k_gate_add, { 1056, 3840 }, DTYPE_NONE },
	{ &k_swiglu, { 1056, 10240 }, DTYPE_NONE },
	{ &k_silu, { 1056, 3840 }, DTYPE_NONE },
};
/* One of each kind, for seeing that all run. */
static const struct op_case tiny_cases[] = {
	{ &k_linear, { 8, 32, 64 }, DTYPE_BF16 },
	{ &k_linear, { 8, 32, 64 }, DTYPE_F32 },
	{ &k_linear, { 8, 32, 64 }, DTYPE_F16 },
	{ &k_attention, { 16, 2, 64 }, DTYPE_NONE },
	{ &k_conv, { 8, 32, 32 }, DTYPE_BF16 },
	{ &k_conv_double, { 8, 32, 32 }, DTYPE_BF16 },
	{ &k_group_norm, { 64, 64 }, DTYPE_BF16 },
	{ &k_rms_norm, { 8, 64 }, DTYPE_BF16 },
	{ &k_layer_norm, { 8, 64 }, DTYPE_NONE },
	{ &k_rope, { 8, 2, 64 }, DTYPE_NONE },
	{ &k_add, { 8, 64 }, DTYPE_NONE },
	{ &k_gate_add, { 8, 64 }, DTYPE_NONE },
	{ &k_swiglu, { 8, 64 }, DTYPE_NONE },
	{ &k_silu, { 8, 64 }, DTYPE_NONE },
};

void op_case_name(const struct op_case *c, char *ret, size_t size)
{
	int n = snprintf(ret, size, "%s %ux%u", c->kind->name, c->dim[OP_M], c->dim[OP_N]);

	if (c->dim[OP_K])
		n += snprintf(ret + n, size - (size_t)n, "x%u", c->dim[OP_K]);
	if (c->dtype != DTYPE_NONE)
		snprintf(ret + n, size - (size_t)n, " %s", dtype_name(c->dtype));
}

int ops_select(const struct bench_options *o, struct op_case **ret, size_t *ret_n, struct err *err)
{
	const struct op_case *from = o->tiny ? tiny_cases : cases;
	const size_t n = o->tiny ? sizeof tiny_cases / sizeof *from : sizeof cases / sizeof *from;
	char name[64];

	*ret_n = 0;
	*ret = calloc(n, sizeof **ret);
	if (!*ret)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		op_case_name(&from[i], name, sizeof name);
		if (!o->filter || strcasestr(name, o->filter))
			(*ret)[(*ret_n)++] = from[i];
	}
	if (*ret_n > 0)
		return 0;
	free(*ret);
	*ret = NULL;
	return err_set(err, -EINVAL, "no op is called like \"%s\"; try \"linear\"", o->filter);
}

bool op_case_sgemm(const struct op_case *c, int ret_mnk[OP_DIMS])
{
	uint64_t mnk[OP_DIMS];

	/* Attention has no matrix of weights: it is held against the plain product. */
	if (!c->kind->product || c->dtype == DTYPE_NONE)
		return false;
	c->kind->product(c, mnk);
	if (mnk[OP_M] > SGEMM_MAX_ROWS)
		mnk[OP_M] = SGEMM_MAX_ROWS;
	for (int i = 0; i < OP_DIMS; i++)
		ret_mnk[i] = (int)mnk[i];
	return true;
}

double op_case_flops(const struct op_case *c)
{
	uint64_t mnk[OP_DIMS];

	if (!c->kind->product)
		return 0;
	c->kind->product(c, mnk);
	return 2.0 * (double)mnk[OP_M] * (double)mnk[OP_N] * (double)mnk[OP_K];
}

double op_case_bytes(const struct op_case *c)
{
	uint32_t rows, cols;

	if (c->kind->product)
		return 0;
	c->kind->shape(c, &rows, &cols);
	return 4.0 * c->kind->passes * rows * cols;
}

size_t op_case_elements(const struct op_case *c)
{
	uint64_t mnk[OP_DIMS] = { 0 };
	uint32_t rows, cols;
	size_t most;

	c->kind->shape(c, &rows, &cols);
	most = (size_t)rows * cols;
	if (c->kind->product && c->dtype != DTYPE_NONE) {
		c->kind->product(c, mnk);
		if (mnk[OP_M] > SGEMM_MAX_ROWS)
			mnk[OP_M] = SGEMM_MAX_ROWS;
		if (mnk[OP_N] * mnk[OP_K] > most)
			most = mnk[OP_N] * mnk[OP_K];
		if (mnk[OP_M] * mnk[OP_K] > most)
			most = mnk[OP_M] * mnk[OP_K];
	}
	return most;
}

/* ---- running one ---- */

static int run_graph(struct graph *g, const struct operands *o, const struct pool *pool, struct moment *ret,
		     struct err *err)
{
	struct moment start;
	int r;

	for (int i = 0; i < MAX_INPUTS; i++)
		if (o->in[i].id)
			graph_write(g, o->in[i], pool->f32);
	start = moment_now();
	r = graph_run(g, NULL, NULL, err);
	*ret = moment_minus(moment_now(), start);
	return r;
}

int op_case_run(const struct op_case *c, struct variant *v, const struct pool *pool, struct moment *ret,
		struct err *err)
{
	const int column = c->dtype == DTYPE_F32 ? 0 : c->dtype == DTYPE_F16 ? 1 : 2;
	const struct weight w = { .buffer = v->pool[column], .dtype = c->dtype };
	struct operands o = { .w = { w, w } };
	struct graph *g;
	char name[64];
	int r;

	variant_select(v);
	g = graph_create(v->vk, v->kernels);
	if (!g)
		return err_set(err, -ENOMEM, "out of memory");
	graph_output(g, c->kind->add(g, c, &o));
	r = graph_build(g, &v->arena, err);
	if (r == 0)
		r = run_graph(g, &o, pool, ret, err);
	graph_destroy(&g);
	if (r == 0)
		return 0;
	op_case_name(c, name, sizeof name);
	return err_prefix(err, "%s", name);
}
