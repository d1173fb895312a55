/*
 * Tensors of the source files to blobs of the store, bytes unchanged. The data is read
 * and not mapped: a source that shrinks meanwhile is then an error and no signal. Runs
 * on the importer's one thread and blocks on the disk.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/timefmt.h"
#include "runner/import/tensors.h"

#define PIECE ((size_t)4 << 20)         /* bytes between two looks at the cancel flag */
#define STATUS_NS 100000000             /* at most ten lines a second */

/* Where a blob's bytes go: into the store, or only into its digest. */
struct sink {
	struct blob_writer *writer;     /* or NULL */
	struct digest *digest;
};

/* Of the blobs that the store has, ascending. */
struct sizes {
	uint64_t *list;
	size_t n;
};

/* One file on its way into the store. */
struct progress {
	struct output *out;
	const char *verb;
	const struct plan_file *file;
	char *piece;                    /* PIECE bytes */
	uint64_t completed, total;
	int64_t shown_ns;
};

static void show(struct progress *p, bool always)
{
	char text[1024];
	int64_t now = time_monotonic_ns();
	const struct import_hooks *hooks = p->out->hooks;

	if (!hooks->status || (!always && now - p->shown_ns < STATUS_NS))
		return;
	p->shown_ns = now;
	snprintf(text, sizeof text, "%s %s (%zu tensors)", p->verb, p->file->name,
		 p->file->st.n_tensors);
	hooks->status(hooks->context, &(struct msg_status){
		.status = text, .completed = p->completed, .total = p->total,
	});
}

static int read_piece(struct progress *p, uint64_t at, size_t len, struct err *err)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(p->file->fd, p->piece + got, len - got, (off_t)(at + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, errno, "failed to read %s", p->file->name);
		if (n == 0)
			return err_set(err, -EINVAL, "failed to read %s: it became shorter during the import",
				       p->file->name);
		got += (size_t)n;
	}
	return 0;
}

static int put(const struct sink *to, const void *data, size_t len, struct err *err)
{
	if (to->writer)
		return blob_writer_write(to->writer, data, len, err);
	digest_update(to->digest, data, len);
	return 0;
}

static int put_data(struct progress *p, const struct st_tensor *t, const struct sink *to,
		    struct err *err)
{
	uint64_t at = p->file->st.data_start + t->begin;
	uint64_t end = p->file->st.data_start + t->end;

	while (at < end) {
		size_t len = end - at < PIECE ? (size_t)(end - at) : PIECE;
		int r;

		if (output_cancelled(p->out))
			return err_set(err, -ECANCELED, "the import was cancelled");
		r = read_piece(p, at, len, err);
		if (r == 0)
			r = put(to, p->piece, len, err);
		if (r < 0)
			return r;
		at += len;
		p->completed += len;
		show(p, false);
	}
	return 0;
}

/* The whole blob; *ret_size its bytes. */
static int put_blob(struct progress *p, const struct st_tensor *t, const struct sink *to,
		    uint64_t *ret_size, struct err *err)
{
	char *header = NULL;
	size_t len = 0;
	int r = safetensors_blob_header(t->dtype, t->rank, t->shape, &header, &len, err);

	if (r == 0)
		r = put(to, header, len, err);
	if (r == 0)
		r = put_data(p, t, to, err);
	free(header);
	*ret_size = len + (t->end - t->begin);
	return r;
}

static int write_blob(struct progress *p, const struct st_tensor *t, char digest[DIGEST_SIZE],
		      uint64_t *ret_size, bool *ret_new, struct err *err)
{
	struct sink to = { 0 };
	int r = blob_writer_begin(p->out->store, &to.writer, err);

	if (r < 0)
		return r;
	r = put_blob(p, t, &to, ret_size, err);
	if (r < 0) {
		blob_writer_abort(to.writer);
		return r;
	}
	return blob_writer_commit(to.writer, digest, ret_new, err);
}

static json_t *shape_json(const struct st_tensor *t)
{
	json_t *shape = json_array();

	for (unsigned i = 0; shape && i < t->rank; i++)
		if (json_array_append_new(shape, json_integer((json_int_t)t->shape[i])) < 0) {
			json_decref(shape);
			return NULL;
		}
	return shape;
}

static int add_layer(struct progress *p, const struct st_tensor *t, const char *digest,
		     uint64_t size, bool is_new, struct err *err)
{
	struct layer *layer;
	char *name;

	if (asprintf(&name, "%s/%s", p->file->component, t->name) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	layer = output_layer(p->out, MEDIA_TENSOR, digest, size, name, is_new);
	free(name);
	if (!layer)
		return err_set(err, -ENOMEM, "out of memory");
	layer->dtype = strdup(dtype_name(t->dtype));
	layer->shape = shape_json(t);
	if (!layer->dtype || !layer->shape)
		return err_set(err, -ENOMEM, "out of memory");
	return 0;
}

static int write_tensor(struct progress *p, const struct st_tensor *t, struct err *err)
{
	const char *stored = p->file->stored[t - p->file->st.tensors];
	char digest[DIGEST_SIZE];
	bool is_new = false;
	uint64_t size;
	int r;

	if (output_cancelled(p->out))
		return err_set(err, -ECANCELED, "the import was cancelled");
	if (stored[0]) {
		memcpy(digest, stored, sizeof digest);
		p->completed += t->end - t->begin;
		r = store_blob_stat(p->out->store, digest, &size, err);
	} else {
		r = write_blob(p, t, digest, &size, &is_new, err);
	}
	if (r < 0 && r != -ECANCELED)
		err_prefix(err, "failed to create layer for %s/%s", p->file->component, t->name);
	if (r < 0)
		return r;
	return add_layer(p, t, digest, size, is_new, err);
}

static int write_file(struct progress *p, const struct plan_file *f, struct err *err)
{
	p->file = f;
	p->completed = 0;
	p->total = f->st.file_size - f->st.data_start;
	show(p, true);
	for (size_t i = 0; i < f->st.n_tensors; i++) {
		int r = write_tensor(p, &f->st.tensors[i], err);

		if (r < 0)
			return r;
	}
	show(p, true);
	return 0;
}

int tensors_write(struct output *o, const struct plan *p, struct err *err)
{
	struct progress progress = { .out = o, .verb = "importing", .piece = malloc(PIECE) };
	int r = 0;

	if (!progress.piece)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < p->n_files; i++)
		r = write_file(&progress, &p->files[i], err);
	free(progress.piece);
	return r;
}

/* ---- what the store has already ---- */

/* Hashing costs a read of the data: only where some blob has the size. */
static int may_be_stored(const struct st_tensor *t, const struct sizes *sizes, bool *ret,
			 struct err *err)
{
	char *header;
	size_t len;
	int r = safetensors_blob_header(t->dtype, t->rank, t->shape, &header, &len, err);

	if (r < 0)
		return r;
	free(header);
	*ret = store_sizes_have(sizes->list, sizes->n, len + (t->end - t->begin));
	return 0;
}

/* The digest, when the store has such a blob, else "". */
static int find_blob(struct progress *p, const struct st_tensor *t, char ret[DIGEST_SIZE],
		     struct err *err)
{
	struct sink to = { .digest = digest_begin() };
	uint64_t size;
	int r;

	if (!to.digest)
		return err_set(err, -ENOMEM, "out of memory");
	r = put_blob(p, t, &to, &size, err);
	if (r < 0) {
		digest_abort(to.digest);
		return r;
	}
	digest_end(to.digest, ret);
	if (!store_blob_reuse(p->out->store, ret, size))
		ret[0] = '\0';
	return 0;
}

static int find_file(struct progress *p, const struct plan_file *f, const struct sizes *sizes,
		     struct err *err)
{
	int r = 0;

	p->file = f;
	p->completed = 0;
	p->total = f->st.file_size - f->st.data_start;
	for (size_t i = 0; r == 0 && i < f->st.n_tensors; i++) {
		const struct st_tensor *t = &f->st.tensors[i];
		bool maybe = false;

		r = may_be_stored(t, sizes, &maybe, err);
		if (r == 0 && maybe)
			r = find_blob(p, t, f->stored[i], err);
		else
			p->completed += t->end - t->begin;
	}
	return r;
}

int tensors_find(struct output *o, const struct plan *p, struct err *err)
{
	struct progress progress = { .out = o, .verb = "checking", .piece = malloc(PIECE) };
	struct sizes sizes = { 0 };
	int r;

	if (!progress.piece)
		return err_set(err, -ENOMEM, "out of memory");
	r = store_blob_sizes(o->store, &sizes.list, &sizes.n, err);
	for (size_t i = 0; r == 0 && i < p->n_files; i++)
		r = find_file(&progress, &p->files[i], &sizes, err);
	free(sizes.list);
	free(progress.piece);
	return r;
}
