/*
 * Matrices of a model as signed bytes with a scale a row, made while loading: in place of
 * what the source holds, from whatever form that has. GPU thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runner/host/int8.h"
#include "runner/weights_private.h"

enum { SCALES_ALIGN = 64 };

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
		ret->bias.bytes = 0;
	}
}

/* Pages that only this tensor lies on: the file has them, should anyone read it again. */
static void drop_pages(const struct weights_source *s)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	const uintptr_t first = ((uintptr_t)s->array.data + page - 1) / page * page;
	const uintptr_t end = ((uintptr_t)s->array.data + s->array.bytes) / page * page;

	if (s->array.map && end > first)
		madvise((void *)first, end - first, MADV_DONTNEED);
}

int weights_int8_make(const struct weights_source *s, struct weight *ret, unsigned char *pool, struct err *err)
{
	const size_t cols = ret->dim[1];
	float *row, *scales;

	/* The set's devices share the host's memory. */
	if (!pool)
		return err_set(err, -ENOTSUP, "tensor %s: the device's memory cannot be written", s->name);
	row = malloc(cols * sizeof *row);
	if (!row)
		return err_set(err, -ENOMEM, "tensor %s: out of memory", s->name);
	ret->scale.buffer = ret->buffer;
	ret->scale.offset = ret->offset + scales_at(s);
	scales = (float *)(void *)(pool + ret->scale.offset);
	for (uint32_t i = 0; i < ret->dim[0]; i++) {
		weights_decode(s, i, row);
		scales[i] = host_int8_row(row, (int8_t *)(pool + ret->offset + i * cols), cols);
	}
	free(row);
	drop_pages(s);
	return 0;
}
