/*
 * Nodes to command lists: cuts a node into bands, binds its tensors, sets barriers
 * where kernels meet, and starts a new list when one would take too long. GPU thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runner/graph/band.h"
#include "runner/graph/dispatch.h"
#include "runner/graph/hazard.h"
#include "runner/graph/nodes.h"

/* What starting a kernel costs where it costs much. */
#define DISPATCH_MS 0.02
/* What the first run of a kernel adds on software devices, which compile it then. */
#define FIRST_RUN_MS 150.0
enum { WORD = 4, QUANT_ARRAYS = 3 };     /* of a quantised weight: data, scales, biases */
/* A weight whose op named no format. */
#define FORMAT_NONE ((enum vk_format)-1)

struct recorder {
	struct graph *g;
	const struct arena *arena;
	const struct vk_limits *limits;
	struct hazards hazards;
	struct vk_cmd *cmd;                     /* the open list: the last of g->steps */
	double ms;                              /* estimated for it */
	struct err *err;
};

void *dispatch_params(struct vk_dispatch *d, size_t bytes)
{
	void *params = d->push + sizeof(struct push_head);

	if (bytes > DISPATCH_PARAMS)
		return NULL;
	memset(params, 0, bytes);
	d->push_bytes = (unsigned)(sizeof(struct push_head) + bytes);
	return params;
}

void graph_drop_steps(struct graph *g)
{
	for (size_t i = 0; i < g->n_steps; i++)
		vk_cmd_destroy(g->vk, &g->steps[i].cmd);
	free(g->steps);
	g->steps = NULL;
	g->n_steps = 0;
	g->steps_allocated = 0;
	g->built = false;
}

static int append_step(struct recorder *r, struct step step)
{
	struct graph *g = r->g;
	struct step *steps = graph_grown(g->steps, g->n_steps, &g->steps_allocated, sizeof *steps);

	if (!steps)
		return err_set(r->err, -ENOMEM, "graph: out of memory");
	g->steps = steps;
	g->steps[g->n_steps++] = step;
	return 0;
}

static int slice_open(struct recorder *r)
{
	struct vk_cmd *cmd;
	int code = vk_cmd_begin(r->g->vk, &cmd, r->err);

	if (code < 0)
		return code;
	code = append_step(r, (struct step){ .cmd = cmd });
	if (code < 0) {
		vk_cmd_destroy(r->g->vk, &cmd);
		return code;
	}
	r->cmd = cmd;
	r->ms = 0;
	hazards_clear(&r->hazards);             /* a list begins with a barrier */
	return 0;
}

static int slice_close(struct recorder *r)
{
	struct vk_cmd *cmd = r->cmd;

	r->cmd = NULL;
	if (!cmd)
		return 0;
	vk_cmd_host_barrier(cmd);               /* what comes next may be the host's */
	return vk_cmd_end(cmd, r->err);
}

static struct vk_buffer *buffer_of(const struct recorder *r, T x)
{
	return graph_root_of(r->g, x)->host ? r->g->host : r->arena->buffer;
}

/* Binds from the aligned address below; what lies before the data goes into the head, in texels. */
static int bind_input(struct recorder *r, struct vk_dispatch *d, unsigned i, struct vk_buffer *buffer,
		      uint64_t offset, uint64_t bytes)
{
	struct push_head *head = (struct push_head *)d->push;
	struct vk_input *in = &d->inputs[i];
	const unsigned texel = vk_format_bytes(in->format);
	const uint64_t before = offset & (r->limits->texel_align - 1);

	if (!texel)
		return err_set(r->err, -EINVAL, "input %u has no format", i);
	if (before % texel || bytes % texel)
		return err_set(r->err, -EINVAL, "input %u, %" PRIu64 " bytes at %" PRIu64 ", is no whole number of "
			       "texels of %u bytes", i, bytes, offset, texel);
	in->buffer = buffer;
	in->offset = offset - before;
	in->bytes = bytes + before;
	head->in_base[i] = (uint32_t)(before / texel);
	return 0;
}

static bool absent(const struct weight *w)
{
	return !w || !w->rank;
}

/* Arrays of bytes are bound as the words that they lie in. */
static int bind_words(struct recorder *r, struct vk_dispatch *d, unsigned i, const struct weight_array *a)
{
	const uint64_t before = a->offset % WORD, bytes = (before + a->bytes + WORD - 1) / WORD * WORD;

	return bind_input(r, d, i, a->buffer, a->offset - before, bytes);
}

static int bind_quantised(struct recorder *r, struct vk_dispatch *d, unsigned i, const struct weight *w)
{
	const struct weight_array data = { w->buffer, w->offset, w->bytes };
	int code = bind_words(r, d, i, &data);

	if (code == 0)
		code = bind_words(r, d, i + 1, w->scale.bytes ? &w->scale : &data);
	return code == 0 ? bind_words(r, d, i + 2, w->bias.bytes ? &w->bias : &data) : code;
}

static void init_inputs(const struct node *n, struct vk_dispatch *d)
{
	for (unsigned k = 0; k < NODE_MAX_IN; k++)
		if (n->in[k].id)
			d->inputs[d->n_inputs++].format = VK_R32G32B32A32_FLOAT;
	for (unsigned k = 0; k < NODE_MAX_WEIGHTS; k++) {
		const bool quantised = weight_quantised(n->weights[k]);

		for (unsigned array = 0; !absent(n->weights[k]) && array < (quantised ? QUANT_ARRAYS : 1u); array++)
			d->inputs[d->n_inputs++].format = quantised ? VK_R32_UINT : FORMAT_NONE;
	}
}

/* Weights are never written, so only tensors can be part of a hazard. */
static int bind_inputs(struct recorder *r, const struct node *n, struct vk_dispatch *d,
		       struct range *reads, unsigned *n_reads)
{
	unsigned i = 0;
	int code = 0;

	for (unsigned k = 0; k < NODE_MAX_IN && code == 0; k++) {
		const struct vk_input *in = &d->inputs[i];
		const T x = n->in[k];

		if (!x.id)
			continue;
		code = bind_input(r, d, i++, buffer_of(r, x), graph_offset_of(r->g, x),
				  tensor_bytes(x.rows, x.cols));
		if (code == 0)
			reads[(*n_reads)++] = (struct range){
				in->buffer, in->offset, in->offset + vk_input_bytes(r->g->vk, in),
			};
	}
	for (unsigned k = 0; k < NODE_MAX_WEIGHTS && code == 0; k++) {
		const struct weight *w = n->weights[k];

		if (weight_quantised(w)) {
			code = bind_quantised(r, d, i, w);
			i += QUANT_ARRAYS;
		} else if (!absent(w)) {
			code = bind_input(r, d, i++, w->buffer, w->offset, w->bytes);
		}
	}
	return code;
}

static struct range bind_output(struct recorder *r, const struct node *n, uint32_t row0, uint32_t rows,
				struct vk_dispatch *d)
{
	struct push_head *head = (struct push_head *)d->push;
	const uint64_t offset = graph_offset_of(r->g, n->out) + tensor_bytes(row0, n->out.cols);
	const uint64_t before = offset & (r->limits->storage_align - 1);

	d->out = buffer_of(r, n->out);
	d->out_offset = offset - before;
	d->out_bytes = tensor_bytes(rows, n->out.cols) + before;
	head->row0 = row0;
	head->rows = rows;
	head->out_base = (uint32_t)(before / sizeof(float));
	return (struct range){ d->out, d->out_offset, d->out_offset + d->out_bytes };
}

/* A list full of kernels that are all compiled while it runs would delay a cancel by seconds. */
static int dispatch(struct recorder *r, const struct vk_dispatch *d, double ms)
{
	struct vk *vk = r->g->vk;
	const size_t kernels = vk_kernel_count(vk);
	const int code = vk_cmd_dispatch(r->cmd, d, r->err);

	r->ms += ms;
	if (vk_kernel_count(vk) > kernels && vk_info(vk)->type == VK_SOFTWARE)
		r->ms += FIRST_RUN_MS;
	return code;
}

static int record_band(struct recorder *r, const struct node *n, const struct op_kernel *kernel,
		       uint32_t row0, uint32_t rows, double ms)
{
	struct vk_dispatch d = { .n_spec = 1, .push_bytes = sizeof(struct push_head) };
	struct range reads[NODE_MAX_IN], write;
	unsigned n_reads = 0;
	int code;

	if (r->cmd && r->ms + ms > SLICE_MS && (code = slice_close(r)) < 0)
		return code;
	if (!r->cmd && (code = slice_open(r)) < 0)
		return code;
	init_inputs(n, &d);
	kernel->dispatch(n, r->limits, row0, rows, &d);
	d.spec[0] = r->limits->subgroup_size;
	code = bind_inputs(r, n, &d, reads, &n_reads);
	if (code < 0)
		return code;
	write = bind_output(r, n, row0, rows, &d);
	if (hazards_note(&r->hazards, reads, n_reads, write))
		vk_cmd_barrier(r->cmd);
	return dispatch(r, &d, ms);
}

static int record_shader(struct recorder *r, const struct node *n, const struct op_kernel *kernel)
{
	const struct vk_limits *l = r->limits;
	const double flops = n->op->row_flops ? n->op->row_flops(n) : n->out.cols;
	const struct band_rule rule = {
		.rows = n->out.rows,
		.multiple = n->op->row_multiple,
		.whole = n->op->whole,
		.row_ms = flops / l->flops_per_ms,
		.row_bytes = tensor_bytes(1, n->out.cols),
		/* Less what aligning the start of a band may add. */
		.max_bytes = l->storage_range - (l->storage_align - 1),
	};
	const uint32_t most = band_rows(&rule);
	int code = 0;

	if (!most)
		return err_set(r->err, -EINVAL, "%" PRIu32 " rows of %" PRIu64 " bytes cannot be bound: %s binds %" PRIu64,
			       n->out.rows, rule.row_bytes, vk_info(r->g->vk)->name, l->storage_range);
	for (uint32_t row0 = 0; row0 < n->out.rows && code == 0; ) {
		const uint32_t rows = n->out.rows - row0 < most ? n->out.rows - row0 : most;

		code = record_band(r, n, kernel, row0, rows, rows * rule.row_ms + DISPATCH_MS);
		row0 += rows;
	}
	return code;
}

const struct op_kernel *graph_kernel(const struct graph *g, const struct node *n)
{
	enum kernel_set set = g->kernels.set;

	while (!n->op->kernels[set].dispatch && !n->op->kernels[set].run && kernel_sets[set].falls_back != set)
		set = kernel_sets[set].falls_back;
	return &n->op->kernels[set];
}

/* Neighbours become one step. */
static int record_host(struct recorder *r, size_t i)
{
	struct graph *g = r->g;
	struct step *last;
	int code = slice_close(r);

	if (code < 0)
		return code;
	last = g->n_steps ? &g->steps[g->n_steps - 1] : NULL;
	if (!last || last->cmd)
		return append_step(r, (struct step){ .first = i, .end = i + 1 });
	last->end = i + 1;
	return 0;
}

int graph_record(struct graph *g, const struct arena *arena, struct err *err)
{
	struct recorder r = { .g = g, .arena = arena, .limits = vk_limits(g->vk), .err = err };

	for (size_t i = 0; i < g->n_nodes; i++) {
		const struct op_kernel *kernel = graph_kernel(g, &g->nodes[i]);
		const int code = kernel->run ? record_host(&r, i) : record_shader(&r, &g->nodes[i], kernel);

		if (code < 0)
			return err_prefix(err, "%s (node %zu)", g->nodes[i].op->name, i);
	}
	return slice_close(&r);
}
