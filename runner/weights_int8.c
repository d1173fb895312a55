/*
 * Matrices of a model as signed bytes with a scale a row, made while loading: in place of
 * what the source holds, from whatever form that has. GPU thread, or the importer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runner/host/int8.h"
#include "runner/weights_private.h"

enum { CHUNK_BYTES = 1 << 20, SCALES_ALIGN = 64 };

static bool is_any(const char *name, const char *const *parts)
{
	for (; *parts; parts++)
		if (strstr(name, *parts))
			return true;
	return false;
}

/*
 * Matrices that linear reads for every token. What is small and shapes everything stays as
 * it is: embedders, modulation, the last layer; the VAE, too.
 */
static bool in_reach(const struct weights *w, const struct claim *c)
{
	static const char *const parts[] = { "transformer/", "text_encoder/", NULL };
	static const char *const kept[] = { "embed", "norm", "odulation", "final_layer", "proj_out", NULL };
	const struct weights_source *s = &w->sources[c->source];
	const size_t len = strlen(s->name), end = strlen(".weight");

	return s->rank == 2 && c->layout == LAYOUT_STORED && s->shape[1] <= HOST_INT8_COLS &&
		len > end && !strcmp(s->name + len - end, ".weight") && is_any(s->name, parts) &&
		!is_any(s->name, kept);
}

static uint64_t scales_at(const struct weights_source *s)
{
	return (s->shape[0] * s->shape[1] + SCALES_ALIGN - 1) / SCALES_ALIGN * SCALES_ALIGN;
}

uint64_t weights_int8_bytes(const struct weights_source *s)
{
	return scales_at(s) + s->shape[0] * sizeof(float);
}

void weights_use_int8_rows(struct weights *w)
{
	for (size_t i = 0; i < w->n_claims; i++) {
		struct claim *c = &w->claims[i];
		struct weight *ret = c->ret;

		if (!in_reach(w, c))
			continue;
		c->int8 = true;
		ret->quant = (struct quant){
			.format = QUANT_INT8_ROWS, .group = ret->dim[1], .group_rows = 1,
			.scale_dtype = DTYPE_F32, .global = 1,
		};
		ret->dtype = DTYPE_NONE;
		ret->bytes = (uint64_t)ret->dim[0] * ret->dim[1];
		ret->scale.bytes = ret->dim[0] * sizeof(float);
	}
}

/* Scratch of one conversion. */
struct int8_chunk {
	float *row, *scales;
	int8_t *codes;
	uint32_t rows;                          /* that codes holds */
};

static int chunk_open(struct int8_chunk *c, const struct weight *ret, struct err *err)
{
	const uint32_t rows = CHUNK_BYTES / ret->dim[1];

	c->rows = rows ? rows : 1;
	c->row = malloc(ret->dim[1] * sizeof *c->row);
	c->scales = malloc(ret->dim[0] * sizeof *c->scales);
	c->codes = malloc((size_t)c->rows * ret->dim[1]);
	return c->row && c->scales && c->codes ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static void chunk_close(struct int8_chunk *c)
{
	free(c->row);
	free(c->scales);
	free(c->codes);
}

/* Pages that only this tensor lies on: the file has them, should anyone read it again. */
static void drop_pages(const struct weights_source *s)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	const uintptr_t first = ((uintptr_t)s->data + page - 1) / page * page;
	const uintptr_t end = ((uintptr_t)s->data + s->bytes) / page * page;

	if (s->map && end > first)
		madvise((void *)first, end - first, MADV_DONTNEED);
}

static int upload_rows(struct vk *vk, const struct weight *ret, const struct quant_rows *from,
		       struct int8_chunk *c, struct err *err)
{
	const size_t cols = ret->dim[1];
	int r = 0;

	for (uint32_t row0 = 0; row0 < ret->dim[0] && r == 0; row0 += c->rows) {
		const uint32_t left = ret->dim[0] - row0, rows = left < c->rows ? left : c->rows;

		for (uint32_t i = 0; i < rows; i++) {
			quant_decode(from, row0 + i, 0, from->cols, c->row);
			c->scales[row0 + i] = host_int8_row(c->row, c->codes + i * cols, cols);
		}
		r = vk_upload(vk, ret->buffer, ret->offset + row0 * cols, c->codes, rows * cols, err);
	}
	return r;
}

int weights_int8_upload(struct vk *vk, const struct weights_source *s, struct weight *ret, struct err *err)
{
	const struct quant_rows from = { .dtype = s->dtype, .cols = ret->dim[1], .data = s->data };
	struct int8_chunk chunk = { 0 };
	int r;

	ret->scale.buffer = ret->buffer;
	ret->scale.offset = ret->offset + scales_at(s);
	r = chunk_open(&chunk, ret, err);
	if (r == 0)
		r = upload_rows(vk, ret, &from, &chunk, err);
	if (r == 0)
		r = vk_upload(vk, ret->scale.buffer, ret->scale.offset, chunk.scales, ret->scale.bytes, err);
	chunk_close(&chunk);
	drop_pages(s);
	return r < 0 ? err_prefix(err, "tensor %s", s->name) : 0;
}
