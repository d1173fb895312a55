/*
 * Building, running, reading and writing a graph, and the arena that graphs share.
 * GPU thread.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "runner/graph/host_call.h"
#include "runner/graph/nodes.h"

/* The error that the graph keeps, also for err == NULL. */
static int sticky(const struct graph *g, struct err *err)
{
	return err_set(err, g->err.code, "%s", g->err.text);
}

int graph_plan(struct graph *g, uint64_t *ret_bytes, struct err *err)
{
	if (graph_place(g) < 0)
		return sticky(g, err);
	*ret_bytes = g->arena_bytes;
	return 0;
}

void arena_finish(struct vk *vk, struct arena *a)
{
	vk_buffer_destroy(vk, &a->buffer);
	a->size = 0;
	a->generation++;
}

int arena_check(struct vk *vk, uint64_t bytes, struct err *err)
{
	const uint64_t most = vk_limits(vk)->arena_size;

	if (bytes <= most)
		return 0;
	return err_set(err, -ENOMEM, "this picture needs %" PRIu64 " bytes of workspace on %s, "
		       "which has room for %" PRIu64 ": choose a smaller size or fewer pictures",
		       bytes, vk_info(vk)->name, most);
}

int arena_reserve(struct vk *vk, struct arena *a, uint64_t bytes, struct err *err)
{
	int r;

	if (bytes <= a->size)
		return 0;
	r = arena_check(vk, bytes, err);
	if (r < 0)
		return r;
	arena_finish(vk, a);
	r = vk_buffer_create(vk, VK_DEVICE, bytes, &a->buffer, err);
	if (r < 0)
		return err_prefix(err, "workspace");
	a->size = bytes;
	return 0;
}

static int host_reserve(struct graph *g, struct err *err)
{
	if (g->host && vk_buffer_size(g->host) >= g->host_bytes)
		return 0;
	vk_buffer_destroy(g->vk, &g->host);
	return g->host_bytes ? vk_buffer_create(g->vk, VK_HOST, g->host_bytes, &g->host, err) : 0;
}

int graph_build(struct graph *g, struct arena *arena, struct err *err)
{
	int r;

	graph_drop_steps(g);
	if (graph_place(g) < 0)
		return sticky(g, err);
	if ((r = arena_reserve(g->vk, arena, g->arena_bytes, err)) < 0 ||
	    (r = host_reserve(g, err)) < 0 ||
	    (r = graph_record(g, arena, err)) < 0) {
		graph_drop_steps(g);
		return r;
	}
	g->arena = arena;
	g->generation = arena->generation;
	g->built = true;
	return 0;
}

size_t graph_n_nodes(const struct graph *g)
{
	return g->n_nodes;
}

bool graph_stale(const struct graph *g, const struct arena *arena)
{
	return !g->built || g->generation != arena->generation;
}

static unsigned char *bytes_of(const struct graph *g, T x)
{
	struct vk_buffer *buffer = graph_root_of(g, x)->host ? g->host : g->arena->buffer;

	return (unsigned char *)vk_buffer_map(buffer) + graph_offset_of(g, x);
}

static const unsigned char *array_bytes(struct vk_buffer *buffer, uint64_t offset)
{
	return (const unsigned char *)vk_buffer_read(buffer) + offset;
}

static struct quant_rows rows_of(const struct weight *w)
{
	return (struct quant_rows){
		.quant = w->quant, .dtype = w->dtype, .cols = w->dim[1],
		.data = array_bytes(w->buffer, w->offset),
		.scale = w->scale.bytes ? array_bytes(w->scale.buffer, w->scale.offset) : NULL,
		.bias = w->bias.bytes ? array_bytes(w->bias.buffer, w->bias.offset) : NULL,
	};
}

static void run_on_host(struct graph *g, const struct node *n)
{
	struct host_call c = { .node = n, .pool = g->kernels.pool };

	for (unsigned i = 0; i < NODE_MAX_IN; i++)
		if (n->in[i].id)
			c.in[i] = (const float *)bytes_of(g, n->in[i]);
	for (unsigned i = 0; i < NODE_MAX_WEIGHTS; i++)
		if (n->weights[i] && n->weights[i]->rank)
			c.weights[i] = array_bytes(n->weights[i]->buffer, n->weights[i]->offset);
	if (n->weights[0] && n->weights[0]->rank == 2)
		c.rows = rows_of(n->weights[0]);
	c.out = (float *)bytes_of(g, n->out);
	graph_kernel(g, n)->run(&c);
}

static int run_host_step(struct graph *g, const struct step *s, graph_cancelled cancelled, void *context,
			 struct err *err)
{
	host_pool_begin(g->kernels.pool, cancelled, context);
	for (size_t i = s->first; i < s->end; i++) {
		int r;

		run_on_host(g, &g->nodes[i]);
		r = host_pool_end(g->kernels.pool);
		if (r == -ECANCELED)
			return err_set(err, r, "cancelled");
		if (r < 0)
			return err_set(err, r, "%s (node %zu): %s", g->nodes[i].op->name, i, strerror(-r));
	}
	return 0;
}

uint64_t graph_host_bytes(const struct graph *g)
{
	/* Views, bindings and push constants of a recorded kernel. */
	const uint64_t recorded = 2048;

	return g->host_bytes + g->n_tensors * sizeof *g->tensors +
	       g->n_nodes * (sizeof *g->nodes + recorded);
}

int graph_run(struct graph *g, graph_cancelled cancelled, void *context, struct err *err)
{
	if (!g->built)
		return err_set(err, -EINVAL, "graph: not built");
	for (size_t i = 0; i < g->n_steps; i++) {
		const struct step *s = &g->steps[i];
		int r;

		if (cancelled && cancelled(context))
			return err_set(err, -ECANCELED, "cancelled");
		r = s->cmd ? vk_submit(g->vk, s->cmd, err) : run_host_step(g, s, cancelled, context, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static float *host_rows(const struct graph *g, T x)
{
	assert(x.id && x.id <= g->n_tensors && g->host && graph_root_of(g, x)->host);
	return (float *)((unsigned char *)vk_buffer_map(g->host) + graph_offset_of(g, x));
}

void graph_write(struct graph *g, T x, const float *src)
{
	float *to = host_rows(g, x);
	const uint32_t stride = tensor_stride(x);

	for (uint32_t i = 0; i < x.rows; i++, to += stride, src += x.cols)
		memcpy(to, src, x.cols * sizeof *to);
}

void graph_read(struct graph *g, T x, float *dst)
{
	const float *from = host_rows(g, x);
	const uint32_t stride = tensor_stride(x);

	for (uint32_t i = 0; i < x.rows; i++, from += stride, dst += x.cols)
		memcpy(dst, from, x.cols * sizeof *dst);
}
