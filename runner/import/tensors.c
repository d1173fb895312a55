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

/* One file on its way into the store. */
struct progress {
	struct output *out;
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
	snprintf(text, sizeof text, "importing %s (%zu tensors)", p->file->name,
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

static int copy_data(struct progress *p, const struct st_tensor *t, struct blob_writer *w,
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
			r = blob_writer_write(w, p->piece, len, err);
		if (r < 0)
			return r;
		at += len;
		p->completed += len;
		show(p, false);
	}
	return 0;
}

/* The whole blob; *ret_size its bytes. */
static int write_blob(struct progress *p, const struct st_tensor *t, char digest[DIGEST_SIZE],
		      uint64_t *ret_size, bool *ret_new, struct err *err)
{
	struct blob_writer *w = NULL;
	char *header = NULL;
	size_t len;
	int r = safetensors_blob_header(t->dtype, t->rank, t->shape, &header, &len, err);

	if (r == 0)
		r = blob_writer_begin(p->out->store, &w, err);
	if (r == 0)
		r = blob_writer_write(w, header, len, err);
	if (r == 0)
		r = copy_data(p, t, w, err);
	free(header);
	if (r < 0) {
		blob_writer_abort(w);
		return r;
	}
	*ret_size = len + (t->end - t->begin);
	return blob_writer_commit(w, digest, ret_new, err);
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
	char digest[DIGEST_SIZE];
	uint64_t size;
	bool is_new;
	int r;

	if (output_cancelled(p->out))
		return err_set(err, -ECANCELED, "the import was cancelled");
	r = write_blob(p, t, digest, &size, &is_new, err);
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
	struct progress progress = { .out = o, .piece = malloc(PIECE) };
	int r = 0;

	if (!progress.piece)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < p->n_files; i++)
		r = write_file(&progress, &p->files[i], err);
	free(progress.piece);
	return r;
}
