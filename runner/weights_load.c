/*
 * Claimed tensors onto the device: big ones in place where the device can read the
 * mapped file, the others packed into a few buffers. GPU thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runner/weights_private.h"

enum {
	PLACE_ALIGN = 256,                      /* any texel or storage view may start there */
	IN_PLACE_MIN = 64 << 10,                /* bytes that are worth a buffer of their own */
	IN_PLACE_ALIGN = 8,                     /* what kernels read at full speed */
	POOL_BYTES = 64 << 20,
	PROGRESS_BYTES = 16 << 20,
};

struct loading {
	struct weights *w;
	enum weights_part part;
	struct vk *vk;
	struct err *err;
	weights_progress progress;
	void *context;
	uint64_t completed, total, reported;
};

static void advance(struct loading *l, uint64_t bytes)
{
	l->completed += bytes;
	if (!l->progress || (l->completed - l->reported < PROGRESS_BYTES &&
			     l->completed < l->total))
		return;
	l->reported = l->completed;
	l->progress(l->context, l->completed, l->total);
}

static uint64_t align_up(uint64_t x, uint64_t align)
{
	return (x + align - 1) / align * align;
}

/* ---- in place ---- */

static bool may_stay(const struct loading *l, const struct claim *c)
{
	const struct weights_source *s = &l->w->sources[c->source];

	return vk_limits(l->vk)->shares_memory && c->layout == LAYOUT_STORED && !c->int8 && s->map &&
		s->bytes >= IN_PLACE_MIN && (uintptr_t)s->data % IN_PLACE_ALIGN == 0;
}

/* The pages under the tensor as a buffer; false: copy it instead. */
static bool import(struct loading *l, const struct claim *c)
{
	const struct weights_source *s = &l->w->sources[c->source];
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t offset = (uintptr_t)s->data % page;
	struct vk_buffer **slot = &l->w->buffers[l->w->n_buffers];
	struct err ignored;

	if (vk_buffer_import(l->vk, s->data - offset, align_up(offset + s->bytes, page), slot,
			     &ignored) < 0)
		return false;
	l->w->n_buffers++;
	c->ret->buffer = *slot;
	c->ret->offset = offset;
	return true;
}

/* ---- copied ---- */

/*
 * [out][in][9] -> [9][out][in]. One output channel at a time stays in the cache; with a
 * constant size of elements the copies are single instructions.
 */
static inline void gather_taps(const struct weights_source *s, unsigned char *dst, size_t element)
{
	const uint64_t out = s->shape[0], in = s->shape[1];
	uint64_t o, i;
	unsigned tap;

	for (o = 0; o < out; o++)
		for (tap = 0; tap < 9; tap++) {
			const unsigned char *from = s->data + (o * in * 9 + tap) * element;
			unsigned char *to = dst + (tap * out + o) * in * element;

			for (i = 0; i < in; i++)
				memcpy(to + i * element, from + i * 9 * element, element);
		}
}

/* Floats only: weights_check() has seen to it. */
static void taps_first(const struct weights_source *s, unsigned char *dst)
{
	if (dtype_size(s->dtype) == 2)
		gather_taps(s, dst, 2);
	else
		gather_taps(s, dst, 4);
}

/* Where the device does not see the host's memory. */
static int upload_taps_first(struct loading *l, const struct claim *c)
{
	const struct weights_source *s = &l->w->sources[c->source];
	unsigned char *copy = malloc(s->bytes);
	int r;

	if (!copy)
		return err_set(l->err, -ENOMEM, "tensor %s: out of memory", s->name);
	taps_first(s, copy);
	r = vk_upload(l->vk, c->ret->buffer, c->ret->offset, copy, s->bytes, l->err);
	free(copy);
	return r;
}

/* pool: its buffer's memory as the host sees it, or NULL. */
static int upload(struct loading *l, const struct claim *c, unsigned char *pool)
{
	const struct weights_source *s = &l->w->sources[c->source];
	int r = 0;

	if (c->int8)
		r = weights_int8_make(s, c->ret, pool, l->err);
	else if (c->layout == LAYOUT_TAPS_FIRST && pool)
		taps_first(s, pool + c->ret->offset);
	else if (c->layout == LAYOUT_TAPS_FIRST)
		r = upload_taps_first(l, c);
	else if (pool)
		memcpy(pool + c->ret->offset, s->data, s->bytes);
	else
		r = vk_upload(l->vk, c->ret->buffer, c->ret->offset, s->data, s->bytes, l->err);
	if (r == 0)
		advance(l, claim_bytes(l->w, c));
	return r;
}

static bool is_left(const struct loading *l, const struct claim *c)
{
	return c->part == l->part && !c->ret->buffer;
}

/* Claims from first on, without a buffer, that together fill one; returns where the next begins. */
static size_t fill_pool(struct loading *l, size_t first, uint64_t *ret_bytes)
{
	uint64_t used = 0;
	size_t i;

	for (i = first; i < l->w->n_claims; i++) {
		const struct claim *c = &l->w->claims[i];

		if (!is_left(l, c))
			continue;
		if (used && used + claim_bytes(l->w, c) > POOL_BYTES)
			break;
		c->ret->offset = used;
		used = align_up(used + claim_bytes(l->w, c), PLACE_ALIGN);
	}
	*ret_bytes = used;
	return i;
}

/* The next tensor is read from the disk while this one is copied. */
static void read_ahead(const struct loading *l, size_t i, size_t end)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	const struct weights_source *s;
	uint64_t before;

	while (++i < end && !is_left(l, &l->w->claims[i]))
		;
	if (i >= end)
		return;
	s = &l->w->sources[l->w->claims[i].source];
	before = (uintptr_t)s->data % page;
	/* A hint: what fails here shows when the data is read. */
	if (s->map)
		(void)madvise((void *)(uintptr_t)(s->data - before), s->bytes + before,
			      MADV_WILLNEED);
}

static int load_pool(struct loading *l, size_t first, size_t end, uint64_t bytes)
{
	struct vk_buffer **slot = &l->w->buffers[l->w->n_buffers];
	unsigned char *pool;
	size_t i;
	int r = vk_buffer_create(l->vk, VK_DEVICE, bytes, slot, l->err);

	if (r < 0)
		return err_prefix(l->err, "weights");
	l->w->n_buffers++;
	pool = vk_buffer_map(*slot);
	for (i = first; i < end; i++) {
		const struct claim *c = &l->w->claims[i];

		if (!is_left(l, c))
			continue;
		c->ret->buffer = *slot;
		read_ahead(l, i, end);
		r = upload(l, c, pool);
		if (r < 0)
			return r;
	}
	return 0;
}

static int load_copies(struct loading *l)
{
	size_t first = 0;
	int r = 0;

	while (first < l->w->n_claims && r == 0) {
		uint64_t bytes;
		size_t end = fill_pool(l, first, &bytes);

		if (bytes)
			r = load_pool(l, first, end, bytes);
		first = end;
	}
	/* Also after a failure: copies still on their way use buffers that go next. */
	if (r < 0)
		vk_upload_finish(l->vk, NULL);
	else
		r = vk_upload_finish(l->vk, l->err);
	return r;
}

static void place_views(const struct weights *w)
{
	size_t i;

	for (i = 0; i < w->n_views; i++) {
		const struct view *v = &w->views[i];
		const struct weight *m = v->matrix;
		const uint64_t row_bytes = m->bytes / m->dim[0];
		const uint32_t rows = v->ret->dim[0];

		*v->ret = *m;
		v->ret->dim[0] = rows;
		v->ret->bytes = row_bytes * rows;
		v->ret->offset += row_bytes * v->row0;
		v->ret->quant.row0 = v->row0;
	}
}

/* After a failure, so that the part can be tried again. */
static void unload(struct loading *l, size_t first_buffer)
{
	size_t i;

	for (i = 0; i < l->w->n_claims; i++)
		if (l->w->claims[i].part == l->part)
			l->w->claims[i].ret->buffer = NULL;
	while (l->w->n_buffers > first_buffer) {
		i = --l->w->n_buffers;
		vk_buffer_destroy(l->vk, &l->w->buffers[i]);
	}
}

/* One per claim at most. */
static int make_lists(struct weights *w, struct err *err)
{
	if (!w->buffers)
		w->buffers = calloc(w->n_claims + 1, sizeof *w->buffers);
	return w->buffers ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int weights_load(struct weights *w, struct vk *vk, enum weights_part part,
		 weights_progress progress, void *context, struct err *err)
{
	struct loading l = {
		.w = w, .part = part, .vk = vk, .err = err, .progress = progress,
		.context = context, .total = weights_part_bytes(w, part),
	};
	const size_t first_buffer = w->n_buffers;
	size_t i;
	int r;

	if (w->loaded[part])
		return 0;
	r = make_lists(w, err);
	if (r < 0)
		return r;
	for (i = 0; i < w->n_claims; i++)
		if (is_left(&l, &w->claims[i]) && may_stay(&l, &w->claims[i]) && import(&l, &w->claims[i]))
			advance(&l, claim_bytes(w, &w->claims[i]));
	r = load_copies(&l);
	if (r < 0)
		unload(&l, first_buffer);
	else
		place_views(w);
	w->loaded[part] = r == 0;
	return r;
}
