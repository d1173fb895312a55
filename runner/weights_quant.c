/*
 * Quantised tensors of blobs as sources: which form, from which arrays. Every generation
 * of the store's blobs (docs/BLOBS.md): metadata decides where there is any. GPU thread,
 * or the importer.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "runner/weights_private.h"

enum { KEY_MAX = 1024, BLOCK_SIDE = 128 };

/* What a tensor's blob, or the layers beside it, say about its codes. */
struct said {
	const char *type;                       /* quant_type, NULL: nothing */
	uint32_t group;                         /* 0: nothing */
	unsigned bits;                          /* by the model's index; 0: nothing */
	const struct weights_source *scale, *bias;      /* plain; NULL: none */
	float global;
};

/* ---- the form ---- */

static uint64_t last_dim(const struct weights_source *s)
{
	return s->rank ? s->shape[s->rank - 1] : 1;
}

/* By dtypes and shapes, as old blobs must be read: 4-bit codes of a group of a elements. */
static enum quant_format infer(const struct weights_source *s, const struct said *said)
{
	const uint64_t groups = last_dim(said->scale), a = groups ? last_dim(s) * 8 / groups : 0;

	if (s->dtype == DTYPE_F8_E4M3)
		return QUANT_FP8;
	if (s->dtype != DTYPE_U32)
		return QUANT_NONE;
	if (!said->bias)
		return a == 16 ? QUANT_NVFP4 : a == 32 ? QUANT_MXFP4 : a == 64 ? QUANT_MXFP8 : QUANT_NONE;
	if (a == 32 || a == 128)
		return a == 32 ? QUANT_INT4 : QUANT_INT8;
	return said->bits == 8 ? QUANT_INT8 : QUANT_INT4;
}

static enum quant_format parse_type(const char *type)
{
	char lower[32];
	size_t i;

	for (i = 0; type[i] && i < sizeof lower - 1; i++)
		lower[i] = (char)tolower((unsigned char)type[i]);
	lower[i] = '\0';
	return quant_parse(lower);
}

static enum dtype dtype_of_codes(enum quant_format f)
{
	if (quant_forms[f].scales == QUANT_SCALES_INSIDE)
		return DTYPE_U8;
	return f == QUANT_FP8 ? DTYPE_F8_E4M3 : DTYPE_U32;
}

/* The last dimension in elements instead of words, bytes or codes. */
static bool unpack_shape(struct weights_source *s, const struct quant_form *f, enum dtype codes)
{
	uint64_t *last = &s->shape[s->rank - 1];
	const uint64_t bytes = *last * dtype_size(codes);

	if (bytes % f->block_bytes || __builtin_mul_overflow(bytes / f->block_bytes, f->block, last))
		return false;
	return *last > 0 && *last <= INT32_MAX;
}

/* Of E4M3: one scale, one a row, or one for a square; of those there may be as many as rows. */
static void group_of_fp8(const struct said *said, uint32_t rows, uint32_t cols, struct quant *q)
{
	const struct weights_source *scale = said->scale;
	const uint64_t n = weights_elements(scale);
	const bool per_row = n == rows && (scale->rank == 1 || last_dim(scale) == 1);

	q->group = n == 1 || per_row ? cols : said->group ? said->group : BLOCK_SIDE;
	q->group_rows = n == 1 ? rows : per_row ? 1 : q->group;
}

static int group_of(const struct said *said, uint32_t rows, uint32_t cols,
		    struct quant *q, struct err *err)
{
	const struct quant_form *f = &quant_forms[q->format];

	q->global = said->global;
	if (f->scales == QUANT_SCALES_INSIDE)
		return 0;
	if (!said->scale)
		return err_set(err, -EBADMSG, "%s without scales", f->name);
	q->group_rows = 1;
	if (q->format == QUANT_FP8)
		group_of_fp8(said, rows, cols, q);
	else if (said->group)
		q->group = said->group;
	else if (last_dim(said->scale) && cols % last_dim(said->scale) == 0)
		q->group = (uint32_t)(cols / last_dim(said->scale));
	q->scale_dtype = f->scales == QUANT_SCALES_FLOAT ? said->scale->dtype : DTYPE_NONE;
	if (f->scales != QUANT_SCALES_FLOAT && dtype_size(said->scale->dtype) != 1)
		return err_set(err, -EBADMSG, "scales of %s are %s, not bytes", f->name,
			       dtype_name(said->scale->dtype));
	if (f->bias && said->bias && said->bias->dtype != said->scale->dtype)
		return err_set(err, -EBADMSG, "scales are %s, biases %s", dtype_name(said->scale->dtype),
			       dtype_name(said->bias->dtype));
	return 0;
}

/* Completes s, whose dtype, shape and array are those of the codes. */
static int quantise(struct weights_source *s, const struct said *said, struct err *err)
{
	struct quant q = { .format = said->type ? parse_type(said->type) : infer(s, said) };
	const struct quant_form *f = &quant_forms[q.format];
	const enum dtype codes = dtype_of_codes(q.format);
	struct quant_sizes have = { .data = s->array.bytes };
	uint64_t rows = 1;
	int r;

	if (q.format == QUANT_NONE && said->type)
		return err_set(err, -EBADMSG, "quant_type \"%.40s\" is unknown", said->type);
	if (q.format == QUANT_NONE || s->rank == 0 || s->dtype != codes)
		return err_set(err, -EBADMSG, "%s of rank %u is no %s", dtype_name(s->dtype), s->rank,
			       q.format ? f->name : "quantised form");
	if (!unpack_shape(s, f, codes))
		return err_set(err, -EBADMSG, "rows of %" PRIu64 " are impossible for %s", last_dim(s), f->name);
	for (unsigned i = 0; i + 1 < s->rank; i++)
		if (__builtin_mul_overflow(rows, s->shape[i], &rows) || rows > UINT32_MAX)
			return err_set(err, -EBADMSG, "impossible shape");
	r = group_of(said, (uint32_t)rows, (uint32_t)last_dim(s), &q, err);
	if (r < 0)
		return r;
	if (f->scales != QUANT_SCALES_INSIDE)
		s->scale = said->scale->array;
	if (f->bias && said->bias)
		s->bias = said->bias->array;
	have.scale = s->scale.bytes;
	have.bias = s->bias.bytes;
	r = quant_check(&q, (uint32_t)rows, (uint32_t)last_dim(s), &have, err);
	s->quant = q;
	return r < 0 ? -EBADMSG : 0;
}

/* ---- one blob ---- */

static struct weights_source plain(const struct safetensors *st, const struct st_tensor *t)
{
	struct weights_source s = {
		.dtype = t->dtype, .rank = t->rank,
		.array = {
			.data = st->map ? st->map + st->data_start + t->begin : NULL,
			.bytes = t->end - t->begin, .map = st->map,
		},
	};

	memcpy(s.shape, t->shape, sizeof s.shape);
	return s;
}

/* "key" + suffix among the tensors. */
static const struct st_tensor *companion(const struct safetensors *st, const char *key, const char *suffix)
{
	char name[KEY_MAX];

	if (snprintf(name, sizeof name, "%s%s", key, suffix) >= (int)sizeof name)
		return NULL;
	return safetensors_find(st, name);
}

static const char *metadata(const struct safetensors *st, const char *key, const char *member)
{
	char name[KEY_MAX];
	const char *own = NULL;

	if (snprintf(name, sizeof name, "%s.%s", key, member) < (int)sizeof name)
		own = json_string_value(json_object_get(st->metadata, name));
	return own ? own : json_string_value(json_object_get(st->metadata, member));
}

/* NVFP4's factor of a whole tensor. */
static int read_global(const struct safetensors *st, const char *key, float *ret, struct err *err)
{
	const struct st_tensor *t = companion(st, key, ".global_scale");

	*ret = 1;
	if (!t || !st->map)
		return 0;
	if (t->dtype != DTYPE_F32 || t->end - t->begin != sizeof *ret)
		return err_set(err, -EBADMSG, "%s is no single F32", t->name);
	memcpy(ret, st->map + st->data_start + t->begin, sizeof *ret);
	return 0;
}

static int read_group(const char *text, uint32_t *ret, struct err *err)
{
	const size_t digits = text ? strspn(text, "0123456789") : 0;

	*ret = 0;
	if (!text)
		return 0;
	if (!digits || digits > 9 || text[digits])
		return err_set(err, -EBADMSG, "group_size \"%.40s\" is no number", text);
	*ret = (uint32_t)strtoul(text, NULL, 10);
	return 0;
}

int weights_read_tensor(const struct safetensors *st, const struct st_tensor *t, unsigned bits,
			struct weights_source *ret, struct err *err)
{
	const struct st_tensor *scale = companion(st, t->name, ".scale"), *bias = companion(st, t->name, ".bias");
	struct weights_source scales, biases;
	struct said said = { .type = metadata(st, t->name, "quant_type"), .bits = bits };
	int r;

	*ret = plain(st, t);
	if (dtype_is_float(t->dtype) || (!said.type && !scale))
		return 0;
	if (scale) {
		scales = plain(st, scale);
		said.scale = &scales;
	}
	if (bias) {
		biases = plain(st, bias);
		said.bias = &biases;
	}
	r = read_group(metadata(st, t->name, "group_size"), &said.group, err);
	if (r == 0)
		r = read_global(st, t->name, &said.global, err);
	return r == 0 ? quantise(ret, &said, err) : r;
}

/* A float "x.bias" beside a float "x" is a tensor of its own. */
bool weights_is_companion(const struct safetensors *st, const char *key)
{
	static const char *const suffixes[] = { ".scale", ".bias", ".global_scale" };
	char base[KEY_MAX];

	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
		const struct st_tensor *t;

		if (!text_ends_with(key, suffixes[i]))
			continue;
		snprintf(base, sizeof base, "%.*s", (int)(strlen(key) - strlen(suffixes[i])), key);
		t = safetensors_find(st, base);
		return t && !dtype_is_float(t->dtype);
	}
	return false;
}

/* ---- a layer an array ---- */

static struct weights_source *beside(const struct weights *w, const struct weights_source *s, const char *suffix)
{
	char name[KEY_MAX];

	if (snprintf(name, sizeof name, "%s%s", s->name, suffix) >= (int)sizeof name)
		return NULL;
	return weights_find(w, name);
}

int weights_join(struct weights *w, struct err *err)
{
	weights_sort(w);
	for (size_t i = 0; i < w->n_sources; i++) {
		struct weights_source *s = &w->sources[i];
		struct weights_source *scale = beside(w, s, "_scale"), *bias = beside(w, s, "_qbias");
		const struct said said = { .bits = w->bits, .scale = scale, .bias = bias, .global = 1 };
		int r;

		if (dtype_is_float(s->dtype) || s->quant.format != QUANT_NONE || !scale)
			continue;
		r = quantise(s, &said, err);
		if (r < 0)
			return err_prefix(err, "tensor %s, blob %s", s->name, s->origin);
		scale->claimed = true;
		if (bias)
			bias->claimed = true;
	}
	return 0;
}
