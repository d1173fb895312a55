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

/* ---- pieces ---- */

/* One array of a claimed tensor: where it comes from, where its place is noted. */
struct piece {
	const struct claim *claim;
	const struct weights_source *source;
	const struct weights_array *from;
	struct vk_buffer **buffer;
	uint64_t *offset, bytes;                /* on the device */
};
enum { PIECES = 3 };                            /* data, scales, biases */

static size_t n_pieces(const struct loading *l)
{
	return l->w->n_claims * PIECES;
}

/* The i-th piece of all; false when it is of another part, or there is none. */
static bool piece_of(const struct loading *l, size_t i, struct piece *ret)
{
	const struct claim *c = &l->w->claims[i / PIECES];
	const struct weights_source *s = &l->w->sources[c->source];
	struct weight *w = c->ret;
	const struct piece pieces[PIECES] = {
		{ c, s, &s->array, &w->buffer, &w->offset, s->array.bytes },
		{ c, s, &s->scale, &w->scale.buffer, &w->scale.offset, s->scale.bytes },
		{ c, s, &s->bias, &w->bias.buffer, &w->bias.offset, s->bias.bytes },
	};
	const bool made = c->int8 || c->layout == LAYOUT_WIDENED;

	*ret = pieces[i % PIECES];
	if (made)
		ret->bytes = i % PIECES ? 0 : claim_bytes(l->w, c);
	return c->part == l->part && ret->bytes;
}

/* One that has no place yet. */
static bool piece_left(const struct loading *l, size_t i, struct piece *ret)
{
	return piece_of(l, i, ret) && !*ret->buffer;
}

static uint64_t align_up(uint64_t x, uint64_t align)
{
	return (x + align - 1) / align * align;
}

/* ---- in place ---- */

/* Kernels read quantised arrays a byte at a time, or as the words around it. */
static bool may_stay(const struct loading *l, const struct piece *p)
{
	const uintptr_t align = p->source->quant.format == QUANT_NONE ? IN_PLACE_ALIGN : 1;

	return vk_limits(l->vk)->shares_memory && p->claim->layout == LAYOUT_STORED && !p->claim->int8 &&
		p->from->map && p->bytes >= IN_PLACE_MIN && (uintptr_t)p->from->data % align == 0;
}

/* The pages under the array as a buffer; false: copy it instead. */
static bool import(struct loading *l, const struct piece *p)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t offset = (uintptr_t)p->from->data % page;
	struct vk_buffer **slot = &l->w->buffers[l->w->n_buffers];
	struct err ignored;

	if (vk_buffer_import(l->vk, p->from->data - offset, align_up(offset + p->bytes, page), slot,
			     &ignored) < 0)
		return false;
	l->w->n_buffers++;
	*p->buffer = *slot;
	*p->offset = offset;
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
			const unsigned char *from = s->array.data + (o * in * 9 + tap) * element;
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

/* A quantised tensor as float32. */
static void widen(const struct weights_source *s, unsigned char *dst)
{
	const uint64_t cols = s->shape[s->rank - 1], rows = weights_elements(s) / cols;

	for (uint64_t i = 0; i < rows; i++)
		weights_decode(s, (uint32_t)i, (float *)(void *)dst + i * cols);
}

static void rearrange(const struct piece *p, unsigned char *dst)
{
	if (p->claim->layout == LAYOUT_TAPS_FIRST)
		taps_first(p->source, dst);
	else
		widen(p->source, dst);
}

/* Where the device does not see the host's memory. */
static int upload_rearranged(struct loading *l, const struct piece *p)
{
	unsigned char *copy = malloc(p->bytes);
	int r;

	if (!copy)
		return err_set(l->err, -ENOMEM, "tensor %s: out of memory", p->source->name);
	rearrange(p, copy);
	r = vk_upload(l->vk, *p->buffer, *p->offset, copy, p->bytes, l->err);
	free(copy);
	return r;
}

/* pool: its buffer's memory as the host sees it, or NULL. */
static int upload(struct loading *l, const struct piece *p, unsigned char *pool)
{
	const bool stored = p->claim->layout == LAYOUT_STORED;
	int r = 0;

	if (p->claim->int8)
		r = weights_int8_make(p->source, p->claim->ret, pool, l->err);
	else if (!stored && pool)
		rearrange(p, pool + *p->offset);
	else if (!stored)
		r = upload_rearranged(l, p);
	else if (pool)
		memcpy(pool + *p->offset, p->from->data, p->bytes);
	else
		r = vk_upload(l->vk, *p->buffer, *p->offset, p->from->data, p->bytes, l->err);
	if (r == 0)
		advance(l, p->bytes);
	return r;
}

/* Pieces from first on, without a buffer, that together fill one; returns where the next begins. */
static size_t fill_pool(struct loading *l, size_t first, uint64_t *ret_bytes)
{
	uint64_t used = 0;
	size_t i;

	for (i = first; i < n_pieces(l); i++) {
		struct piece p;

		if (!piece_left(l, i, &p))
			continue;
		if (used && used + p.bytes > POOL_BYTES)
			break;
		*p.offset = used;
		used = align_up(used + p.bytes, PLACE_ALIGN);
	}
	*ret_bytes = used;
	return i;
}

/* A hint: what fails here shows when the data is read. */
static void read_soon(const struct weights_array *a)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	const uint64_t before = (uintptr_t)a->data % page;

	if (a->map)
		(void)madvise((void *)(uintptr_t)(a->data - before), a->bytes + before,
			      MADV_WILLNEED);
}

/* The next array is read from the disk while this one is copied. */
static void read_next(const struct loading *l, size_t i, size_t end)
{
	struct piece p;

	while (++i < end && !piece_left(l, i, &p))
		;
	if (i < end)
		read_soon(p.from);
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
		struct piece p;

		if (!piece_left(l, i, &p))
			continue;
		*p.buffer = *slot;
		read_next(l, i, end);
		r = upload(l, &p, pool);
		if (r < 0)
			return r;
	}
	return 0;
}

static int load_copies(struct loading *l)
{
	size_t first = 0;
	int r = 0;

	while (first < n_pieces(l) && r == 0) {
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

void weights_read_ahead(const struct weights *w, enum weights_part part)
{
	const struct loading l = { .w = (struct weights *)(uintptr_t)w, .part = part };
	struct piece p;
	size_t i;

	for (i = 0; i < n_pieces(&l); i++)
		if (piece_left(&l, i, &p))
			read_soon(p.from);
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

	for (i = 0; i < n_pieces(l); i++) {
		struct piece p;

		if (piece_of(l, i, &p))
			*p.buffer = NULL;
	}
	while (l->w->n_buffers > first_buffer) {
		i = --l->w->n_buffers;
		vk_buffer_destroy(l->vk, &l->w->buffers[i]);
	}
}

/* One a piece at most. */
static int make_lists(struct weights *w, struct err *err)
{
	if (!w->buffers)
		w->buffers = calloc(w->n_claims * PIECES + 1, sizeof *w->buffers);
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
	for (i = 0; i < n_pieces(&l); i++) {
		struct piece p;

		if (piece_left(&l, i, &p) && may_stay(&l, &p) && import(&l, &p))
			advance(&l, p.bytes);
	}
	r = load_copies(&l);
	if (r < 0)
		unload(&l, first_buffer);
	else
		place_views(w);
	w->loaded[part] = r == 0;
	return r;
}
