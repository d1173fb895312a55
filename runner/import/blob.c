/*
 * One planned tensor to the bytes of its blob: header, then arrays that are copied, or
 * encoded from floats piece by piece, so that no tensor is ever held whole (only its scales
 * are). Data is read and not mapped: a source that shrinks meanwhile is then an error and
 * no signal. Any thread; blocks on the disk.
 */
#include "runner/import/blob.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runner/quant/encode.h"

enum {
	PIECE = 1 << 20,                        /* bytes between two looks at the cancel flag */
	ELEMENTS = 1 << 18,                     /* that are encoded at once, a multiple of every group */
};

struct copying {
	const struct store *store;
	const struct plan *plan;
	const struct plan_tensor *tensor;
	const struct sink *to;
	blob_progress progress;
	void *context;
	struct err *err;
};

/* ---- reading ---- */

static int open_file(const struct copying *c, const struct plan_file *f)
{
	return f->fd >= 0 ? f->fd : store_blob_open(c->store, f->name, c->err);
}

static void close_file(const struct plan_file *f, int fd)
{
	if (fd != f->fd)
		close(fd);
}

static int read_at(const struct copying *c, const struct plan_file *f, int fd, uint64_t at, void *dst, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, (char *)dst + got, len - got, (off_t)(at + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(c->err, errno, "failed to read %s", f->name);
		if (n == 0)
			return err_set(c->err, -EINVAL, "failed to read %s: it became shorter during the import",
				       f->name);
		got += (size_t)n;
	}
	return c->progress ? c->progress(c->context, len, c->err) : 0;
}

static int put(const struct copying *c, const void *data, size_t len)
{
	if (c->to->writer)
		return blob_writer_write(c->to->writer, data, len, c->err);
	digest_update(c->to->digest, data, len);
	return 0;
}

/* ---- header ---- */

static json_t *metadata_of(const struct plan_tensor *t)
{
	const struct quant_form *f = &quant_forms[t->quant.format];
	char group[16];

	if (t->quant.format == QUANT_NONE)
		return NULL;
	snprintf(group, sizeof group, "%u", t->quant.group);
	/* One scale a row or a tensor shows in the scales' shape. */
	if (f->scales == QUANT_SCALES_INSIDE || (f->rows && t->quant.group != t->quant.group_rows))
		return json_pack("{ss}", "quant_type", f->name);
	return json_pack("{ss ss}", "group_size", group, "quant_type", f->name);
}

/* Equal plain tensors share a blob whatever they are called. */
static int make_header(const struct plan_tensor *t, char **ret, size_t *ret_len, struct err *err)
{
	struct st_entry entries[PLAN_PARTS];
	char *keys[PLAN_PARTS] = { 0 };
	json_t *metadata = metadata_of(t);
	int r = 0;

	for (unsigned i = 0; i < t->n_parts && r == 0; i++) {
		const char *base = t->quant.format == QUANT_NONE ? "data" : t->name;

		if (asprintf(&keys[i], "%s%s", base, t->parts[i].suffix) < 0) {
			keys[i] = NULL;
			r = err_set(err, -ENOMEM, "out of memory");
		}
		entries[i] = (struct st_entry){ keys[i], t->parts[i].dtype, t->parts[i].rank, t->parts[i].shape };
	}
	if (r == 0)
		r = safetensors_header(entries, t->n_parts, metadata, ret, ret_len, err);
	for (unsigned i = 0; i < t->n_parts; i++)
		free(keys[i]);
	json_decref(metadata);
	return r;
}

int blob_size(const struct plan_tensor *t, uint64_t *ret, struct err *err)
{
	char *header;
	size_t len;
	int r = make_header(t, &header, &len, err);

	if (r < 0)
		return r;
	free(header);
	*ret = len;
	for (unsigned i = 0; i < t->n_parts; i++)
		*ret += t->parts[i].bytes;
	return 0;
}

/* ---- arrays ---- */

static int put_range(const struct copying *c, const struct plan_file *f, int fd, uint64_t at, uint64_t end,
		     char *piece)
{
	int r = 0;

	while (at < end && r == 0) {
		const size_t len = end - at < PIECE ? (size_t)(end - at) : PIECE;

		r = read_at(c, f, fd, at, piece, len);
		if (r == 0)
			r = put(c, piece, len);
		at += len;
	}
	return r;
}

static int put_copy(const struct copying *c, const struct plan_part *part)
{
	const struct plan_file *f = &c->plan->files[part->from.file];
	const uint64_t begin = part->from.at, end = begin + part->bytes;
	const uint64_t middle = part->swapped ? begin + part->bytes / 2 : begin;
	char *piece = malloc(PIECE);
	int fd = open_file(c, f), r = fd < 0 ? fd : 0;

	if (!piece && r == 0)
		r = err_set(c->err, -ENOMEM, "out of memory");
	if (r == 0)
		r = put_range(c, f, fd, middle, end, piece);
	if (r == 0)
		r = put_range(c, f, fd, begin, middle, piece);
	if (fd >= 0)
		close_file(f, fd);
	free(piece);
	return r;
}

/* What one encoder works with. */
struct encoding {
	unsigned char *source, *codes, *scale, *bias;
	float *floats;
};

static bool encoding_init(struct encoding *e, const struct plan_tensor *t)
{
	*e = (struct encoding){
		.source = malloc(ELEMENTS * dtype_size(t->dtype)), .codes = malloc(ELEMENTS),
		.floats = malloc(ELEMENTS * sizeof(float)), .scale = malloc(t->parts[1].bytes + 1),
		.bias = t->n_parts > 2 ? malloc(t->parts[2].bytes + 1) : NULL,
	};
	return e->source && e->codes && e->floats && e->scale && (e->bias || t->n_parts < 3);
}

static void encoding_finish(struct encoding *e)
{
	free(e->source);
	free(e->codes);
	free(e->floats);
	free(e->scale);
	free(e->bias);
}

static int encode_pieces(const struct copying *c, const struct plan_file *f, int fd, const struct encoding *e)
{
	const struct plan_tensor *t = c->tensor;
	const size_t size = dtype_size(t->dtype), per_byte = quant_forms[t->quant.format].block;
	const uint64_t n = t->floats.bytes / size, groups = n / t->quant.group;
	int r = 0;

	for (uint64_t i = 0; i < n && r == 0; i += ELEMENTS) {
		const size_t len = n - i < ELEMENTS ? (size_t)(n - i) : ELEMENTS;
		const uint64_t group = i / t->quant.group;
		const struct quant_encoded to = {
			e->codes, e->scale + group * (t->parts[1].bytes / groups),
			e->bias ? e->bias + group * (t->parts[2].bytes / groups) : NULL,
		};

		r = read_at(c, f, fd, t->floats.at + i * size, e->source, len * size);
		if (r < 0)
			break;
		dtype_to_f32(t->dtype, e->source, e->floats, len);
		quant_encode(&t->quant, e->floats, len, &to);
		r = put(c, e->codes, len / per_byte);
	}
	return r;
}

static int put_encoded(const struct copying *c)
{
	const struct plan_tensor *t = c->tensor;
	const struct plan_file *f = &c->plan->files[t->floats.file];
	struct encoding e;
	int fd = open_file(c, f), r = fd < 0 ? fd : 0;

	if (!encoding_init(&e, t) && r == 0)
		r = err_set(c->err, -ENOMEM, "out of memory");
	if (r == 0)
		r = encode_pieces(c, f, fd, &e);
	if (r == 0)
		r = put(c, e.scale, t->parts[1].bytes);
	if (r == 0 && e.bias)
		r = put(c, e.bias, t->parts[2].bytes);
	if (fd >= 0)
		close_file(f, fd);
	encoding_finish(&e);
	return r;
}

int blob_put(const struct store *s, const struct plan *p, const struct plan_tensor *t, const struct sink *to,
	     blob_progress progress, void *context, struct err *err)
{
	const struct copying c = { s, p, t, to, progress, context, err };
	char *header = NULL;
	size_t len = 0;
	int r = make_header(t, &header, &len, err);

	if (r == 0)
		r = put(&c, header, len);
	free(header);
	if (r == 0 && t->encoded)
		return put_encoded(&c);
	for (unsigned i = 0; i < t->n_parts && r == 0; i++)
		r = put_copy(&c, &t->parts[i]);
	return r;
}
