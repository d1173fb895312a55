/*
 * Source tensors to layers: which are copied, which are quantised on the way, which belong
 * together. Pure; the importer's one thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/text.h"
#include "runner/import/foreign.h"
#include "runner/import/gguf_layers.h"
#include "runner/import/layers.h"

enum { BLOCK_SIDE = 128, NAME_LEN_MAX = 1000 };

/* ---- which tensors are quantised ---- */

/* By name: large matrices of the text encoder and the transformer, not what embeds or normalises. */
static bool is_candidate(const char *name)
{
	static const char *const kept[] = { "audio_tower", "embed", "norm", "ln_", NULL };
	const char *bare = strchr(name, '/') + 1;

	if (!strncmp(name, "vae/", 4) || !text_ends_with(name, ".weight"))
		return false;
	for (size_t i = 0; kept[i]; i++)
		if (strstr(bare, kept[i]))
			return false;
	return true;
}

/* Also counts those whose rows are no whole groups. */
static bool is_quantised(struct plan *p, const char *name, const struct st_tensor *t, const struct quant *q)
{
	if (q->format == QUANT_NONE || !dtype_is_float(t->dtype) || t->rank < 2 || !is_candidate(name))
		return false;
	if (t->shape[t->rank - 1] && t->shape[t->rank - 1] % q->group == 0)
		return true;
	p->n_odd++;
	return false;
}

/* ---- layers ---- */

struct plan_tensor *layers_append(struct plan *p, char *name)
{
	if (p->n_tensors == p->tensors_size) {
		const size_t size = p->tensors_size ? 2 * p->tensors_size : 256;
		struct plan_tensor *more = reallocarray(p->tensors, size, sizeof *more);

		if (!more) {
			free(name);
			return NULL;
		}
		p->tensors = more;
		p->tensors_size = size;
	}
	p->tensors[p->n_tensors] = (struct plan_tensor){ .name = name };
	return &p->tensors[p->n_tensors++];
}

static struct plan_part *add_part(struct plan_tensor *t, const char *suffix, enum dtype dtype, unsigned rank,
				  const uint64_t *shape, uint64_t bytes)
{
	struct plan_part *part = &t->parts[t->n_parts++];

	*part = (struct plan_part){ .suffix = suffix, .dtype = dtype, .rank = rank, .bytes = bytes };
	memcpy(part->shape, shape, rank * sizeof *shape);
	return part;
}

/* The arrays of t in the form of its quant: the last dimension is that of codes in words, or of groups. */
static int plan_encoded(struct plan_tensor *t, struct err *err)
{
	const struct quant_form *f = &quant_forms[t->quant.format];
	const unsigned last = t->rank - 1;
	const enum dtype scale = f->scales == QUANT_SCALES_FLOAT ? t->quant.scale_dtype : DTYPE_U8;
	uint64_t shape[LIMIT_ST_RANK], rows = 1;
	struct quant_sizes s;

	for (unsigned i = 0; i < last; i++)
		if (__builtin_mul_overflow(rows, t->shape[i], &rows))
			rows = UINT64_MAX;
	if (rows > UINT32_MAX || t->shape[last] > INT32_MAX)
		return err_set(err, -EINVAL, "tensor %s is too large to quantize", t->name);
	s = quant_sizes(&t->quant, (uint32_t)rows, (uint32_t)t->shape[last]);
	memcpy(shape, t->shape, sizeof shape);
	shape[last] = s.row_bytes / dtype_size(DTYPE_U32);
	add_part(t, "", DTYPE_U32, t->rank, shape, s.data);
	shape[last] = s.row_scales;
	add_part(t, ".scale", scale, t->rank, shape, s.scale);
	if (f->bias)
		add_part(t, ".bias", scale, t->rank, shape, s.bias);
	return 0;
}

int layers_add(struct plan *p, char *name, const struct st_tensor *t, const struct plan_array *from,
	       const struct options *options, struct err *err)
{
	const bool quantised = is_quantised(p, name, t, &options->quant);
	struct plan_tensor *ret = layers_append(p, name);

	if (!ret)
		return err_set(err, -ENOMEM, "out of memory");
	ret->dtype = t->dtype;
	ret->rank = t->rank;
	memcpy(ret->shape, t->shape, sizeof ret->shape);
	if (!quantised) {
		add_part(ret, "", t->dtype, t->rank, t->shape, from->bytes)->from = *from;
		return 0;
	}
	ret->quant = options->quant;
	if (quant_forms[ret->quant.format].scales == QUANT_SCALES_FLOAT)
		ret->quant.scale_dtype = t->dtype;
	ret->encoded = true;
	ret->floats = *from;
	return plan_encoded(ret, err);
}

/* ---- sources in eight-bit floats ---- */

static const char *const scale_suffixes[] = { "_scale_inv", "_scale", NULL };

/* A tensor of the component by name, in any of its files. */
static const struct st_tensor *find(const struct plan *p, const char *component, const char *name, size_t *ret_file)
{
	for (size_t i = 0; i < p->n_files; i++) {
		const struct st_tensor *t = strcmp(p->files[i].component, component) ? NULL :
			safetensors_find(&p->files[i].st, name);

		*ret_file = i;
		if (t)
			return t;
	}
	return NULL;
}

static const struct st_tensor *find_scale(const struct plan *p, const char *component, const char *weight,
					  size_t *ret_file)
{
	char name[NAME_LEN_MAX];

	for (size_t i = 0; scale_suffixes[i]; i++) {
		const struct st_tensor *t;

		if (snprintf(name, sizeof name, "%s%s", weight, scale_suffixes[i]) >= (int)sizeof name)
			return NULL;
		t = find(p, component, name, ret_file);
		if (t)
			return t;
	}
	return NULL;
}

/* "x.weight_scale_inv" and the like, and "x.input_scale", beside an "x.weight" in E4M3. */
static bool belongs_to_fp8(const struct plan *p, const char *component, const char *name)
{
	static const char *const suffixes[] = { ".weight_scale_inv", ".weight_scale", ".input_scale" };
	char weight[NAME_LEN_MAX];
	size_t file;

	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
		const struct st_tensor *t;

		if (!text_ends_with(name, suffixes[i]))
			continue;
		snprintf(weight, sizeof weight, "%.*s.weight", (int)(strlen(name) - strlen(suffixes[i])), name);
		t = find(p, component, weight, &file);
		return t && t->dtype == DTYPE_F8_E4M3;
	}
	return false;
}

static int group_of_fp8(const struct st_tensor *t, const struct st_tensor *scale, struct quant *q, struct err *err)
{
	const uint64_t n = st_tensor_elements(scale), rows = t->shape[0], cols = t->shape[1];
	const uint64_t down = (rows + BLOCK_SIDE - 1) / BLOCK_SIDE, across = (cols + BLOCK_SIDE - 1) / BLOCK_SIDE;

	*q = (struct quant){ .format = QUANT_FP8, .scale_dtype = scale->dtype, .global = 1 };
	if (n == 1 || (n == rows && (scale->rank == 1 || scale->shape[0] == rows))) {
		q->group = (uint32_t)cols;
		q->group_rows = n == 1 ? (uint32_t)rows : 1;
		return 0;
	}
	q->group = q->group_rows = BLOCK_SIDE;
	if (scale->rank == 2 && scale->shape[0] == down && scale->shape[1] == across)
		return 0;
	return err_set(err, -EINVAL, "unsupported fp8 source block size: tensor %s is [%" PRIu64 ", %" PRIu64
		       "], its %" PRIu64 " scales are not one for 128x128 (only 128x128 is supported)", t->name,
		       rows, cols, n);
}

static int add_fp8(struct plan *p, const struct plan_file *f, char *name, const struct st_tensor *t,
		   const struct plan_array *from, const struct options *options, struct err *err)
{
	size_t file;
	const struct st_tensor *scale = find_scale(p, f->component, t->name, &file);
	struct plan_tensor *ret = layers_append(p, name);
	struct plan_part *part;

	if (!ret)
		return err_set(err, -ENOMEM, "out of memory");
	if (options->quantize)
		return err_set(err, -EINVAL, "cannot quantize an fp8 source model (requested \"%s\"): fp8 weights "
			       "are kept as they are", options->quantize);
	if (!scale || !dtype_is_float(scale->dtype))
		return err_set(err, -EINVAL, "fp8 source model is missing the scale of tensor %s", t->name);
	if (t->rank != 2 || !t->shape[0] || !t->shape[1] || t->shape[0] > UINT32_MAX || t->shape[1] > INT32_MAX)
		return err_set(err, -EINVAL, "tensor %s is F8_E4M3 and no matrix", t->name);
	ret->dtype = t->dtype;
	ret->rank = t->rank;
	memcpy(ret->shape, t->shape, sizeof ret->shape);
	add_part(ret, "", t->dtype, t->rank, t->shape, from->bytes)->from = *from;
	part = add_part(ret, ".scale", scale->dtype, scale->rank, scale->shape, scale->end - scale->begin);
	part->from = (struct plan_array){ file, p->files[file].st.data_start + scale->begin, part->bytes };
	return group_of_fp8(t, scale, &ret->quant, err);
}

/* ---- files ---- */

static int add_tensor(struct plan *p, size_t file, const struct st_tensor *t, const struct options *options,
		      struct err *err)
{
	const struct plan_file *f = &p->files[file];
	const struct plan_array from = { file, f->st.data_start + t->begin, t->end - t->begin };
	char *name;
	int r;

	if (strlen(t->name) >= NAME_LEN_MAX - 20)
		return err_set(err, -EINVAL, "%s: the name of tensor %.100s... is too long", f->name, t->name);
	r = foreign_check_tensor(p, f, t, options, err);
	if (r < 0 || belongs_to_fp8(p, f->component, t->name))
		return r;
	if (asprintf(&name, "%s/%s", f->component, t->name) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	if (t->dtype == DTYPE_F8_E4M3)
		return add_fp8(p, f, name, t, &from, options, err);
	return layers_add(p, name, t, &from, options, err);
}

/* The file is mapped only here: data is read. */
static int add_gguf(struct plan *p, size_t file, const struct options *options, struct err *err)
{
	const struct plan_file *f = &p->files[file];
	struct stat st;
	struct gguf g;
	void *map;
	int r;

	if (fstat(f->fd, &st) < 0)
		return err_errno(err, errno, "failed to open %s", f->name);
	map = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, f->fd, 0) : MAP_FAILED;
	if (map == MAP_FAILED)
		return err_set(err, -EINVAL, "failed to map %s", f->name);
	r = gguf_parse(map, (size_t)st.st_size, (uint64_t)st.st_size, &g, err);
	munmap(map, (size_t)st.st_size);
	if (r < 0) {
		err_prefix(err, "%s", f->name);
		return r == -EBADMSG ? -EINVAL : r;
	}
	r = gguf_layers(p, file, &g, options, err);
	gguf_finish(&g);
	return r;
}

static int add_file(struct plan *p, size_t i, const struct options *options, struct err *err)
{
	struct plan_file *f = &p->files[i];
	int r;

	f->first = p->n_tensors;
	f->bytes = f->st.file_size - f->st.data_start;
	r = f->gguf ? add_gguf(p, i, options, err) : foreign_check_config(p, f->component, options, err);
	for (size_t t = 0; r == 0 && t < f->st.n_tensors; t++)
		r = add_tensor(p, i, &f->st.tensors[t], options, err);
	f->n_tensors = p->n_tensors - f->first;
	return r;
}

int layers_of_files(struct plan *p, const struct options *options, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->n_files; i++)
		r = add_file(p, i, options, err);
	return r;
}
