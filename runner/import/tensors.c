/*
 * The planned tensors to blobs of the store, several at a time: hashing and encoding keep a
 * core busy each. The import's thread starts the others and waits; what they share lies in
 * one struct under one lock, which is also held while a hook is called.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/timefmt.h"
#include "runner/host/cores.h"
#include "runner/import/blob.h"
#include "runner/import/tensors.h"

enum { THREADS_MAX = 16 };
#define STATUS_NS 100000000             /* at most ten lines a second */

/* Of the blobs that the store has, ascending. */
struct sizes {
	uint64_t *list;
	size_t n;
};

/* The tensors of one file on their way. */
struct work {
	struct output *out;
	struct plan *plan;
	const struct plan_file *file;
	const struct sizes *sizes;      /* only look; NULL: write */
	const char *verb;
	pthread_mutex_t lock;           /* of all below */
	size_t next, end;               /* tensors not taken yet */
	uint64_t completed;
	int64_t shown_ns;
	int code;                       /* the first failure; nothing more is begun */
	struct err err;
};

/* ---- under the lock ---- */

static void show(struct work *w, bool always)
{
	const struct import_hooks *hooks = w->out->hooks;
	const char *to = w->plan->quantize && !w->sizes ? w->plan->quantize : NULL;
	const int64_t now = time_monotonic_ns();
	char text[1024];

	if (!hooks->status || (!always && now - w->shown_ns < STATUS_NS))
		return;
	w->shown_ns = now;
	snprintf(text, sizeof text, "%s %s (%zu tensors%s%s)", w->verb, w->file->name, w->file->n_tensors,
		 to ? ", quantizing to " : "", to ? to : "");
	hooks->status(hooks->context, &(struct msg_status){
		.status = text, .completed = w->completed < w->file->bytes ? w->completed : w->file->bytes,
		.total = w->file->bytes,
	});
}

static int go_on(struct work *w, struct err *err)
{
	if (w->code == 0 && output_cancelled(w->out))
		w->code = err_set(&w->err, -ECANCELED, "the import was cancelled");
	return w->code < 0 ? err_set(err, w->code, "%s", w->err.text) : 0;
}

static int on_progress(void *context, uint64_t bytes, struct err *err)
{
	struct work *w = context;
	int r;

	pthread_mutex_lock(&w->lock);
	w->completed += bytes;
	show(w, false);
	r = go_on(w, err);
	pthread_mutex_unlock(&w->lock);
	return r;
}

/* ---- one tensor ---- */

static uint64_t source_bytes(const struct plan_tensor *t)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < t->n_parts; i++)
		n += t->parts[i].from.bytes;
	return t->encoded ? t->floats.bytes : n;
}

static int write_blob(struct work *w, struct plan_tensor *t, struct err *err)
{
	struct sink to = { 0 };
	char digest[DIGEST_SIZE];
	int r = blob_size(t, &t->size, err);

	if (r == 0)
		r = blob_writer_begin(w->out->store, &to.writer, err);
	if (r < 0)
		return r;
	r = blob_put(w->out->store, w->plan, t, &to, on_progress, w, err);
	if (r < 0) {
		blob_writer_abort(to.writer);
		return r;
	}
	r = blob_writer_commit(to.writer, digest, &t->is_new, err);
	if (r == 0)
		memcpy(t->digest, digest, sizeof digest);
	return r;
}

static int write_tensor(struct work *w, struct plan_tensor *t, struct err *err)
{
	int r;

	if (t->digest[0]) {
		r = on_progress(w, source_bytes(t), err);
		if (r == 0)
			r = store_blob_stat(w->out->store, t->digest, &t->size, err);
	} else {
		r = write_blob(w, t, err);
	}
	return r < 0 && r != -ECANCELED ? err_prefix(err, "failed to create layer for %s", t->name) : r;
}

/* Hashing costs a read of the data: only where some blob has the size. */
static int find_tensor(struct work *w, struct plan_tensor *t, struct err *err)
{
	struct sink to = { 0 };
	int r = blob_size(t, &t->size, err);

	if (r < 0)
		return r;
	if (!store_sizes_have(w->sizes->list, w->sizes->n, t->size)) {
		pthread_mutex_lock(&w->lock);
		w->completed += source_bytes(t);
		pthread_mutex_unlock(&w->lock);
		return 0;
	}
	to.digest = digest_begin();
	if (!to.digest)
		return err_set(err, -ENOMEM, "out of memory");
	r = blob_put(w->out->store, w->plan, t, &to, on_progress, w, err);
	if (r < 0) {
		digest_abort(to.digest);
		return r;
	}
	digest_end(to.digest, t->digest);
	if (!store_blob_reuse(w->out->store, t->digest, t->size))
		t->digest[0] = '\0';
	return 0;
}

/* ---- all of them ---- */

static struct plan_tensor *take(struct work *w)
{
	struct plan_tensor *t = NULL;
	struct err ignored;

	pthread_mutex_lock(&w->lock);
	/* Looking is quick where there is nothing to hash. */
	if (w->next < w->end && (w->sizes ? w->code : go_on(w, &ignored)) == 0)
		t = &w->plan->tensors[w->next++];
	pthread_mutex_unlock(&w->lock);
	return t;
}

static void *run(void *context)
{
	struct work *w = context;
	struct plan_tensor *t;
	struct err err;

	while ((t = take(w))) {
		int r = w->sizes ? find_tensor(w, t, &err) : write_tensor(w, t, &err);

		pthread_mutex_lock(&w->lock);
		if (r < 0 && w->code == 0) {
			w->code = r;
			w->err = err;
		}
		pthread_mutex_unlock(&w->lock);
	}
	return NULL;
}

/* This thread works, too; one that cannot be started is not missed. */
static void run_all(struct work *w)
{
	pthread_t threads[THREADS_MAX];
	size_t n = 0, more = host_cores() - 1;

	if (more > THREADS_MAX)
		more = THREADS_MAX;
	while (n < more && n + 1 < w->end - w->next && pthread_create(&threads[n], NULL, run, w) == 0)
		n++;
	run(w);
	while (n)
		pthread_join(threads[--n], NULL);
}

static int work_on_file(struct output *o, struct plan *p, const struct plan_file *f, const struct sizes *sizes,
			struct err *err)
{
	struct work w = {
		.out = o, .plan = p, .file = f, .sizes = sizes, .verb = sizes ? "checking" : "importing",
		.next = f->first, .end = f->first + f->n_tensors,
	};

	if (pthread_mutex_init(&w.lock, NULL))
		return err_set(err, -ENOMEM, "out of memory");
	if (!sizes)
		show(&w, true);
	run_all(&w);
	if (!sizes && w.code == 0)
		show(&w, true);
	pthread_mutex_destroy(&w.lock);
	return w.code < 0 ? err_set(err, w.code, "%s", w.err.text) : 0;
}

/* Also after a failure, so that the disk can be given back. */
static int note_fresh(struct output *o, const struct plan *p, struct err *err)
{
	for (size_t i = 0; i < p->n_tensors; i++) {
		const struct plan_tensor *t = &p->tensors[i];

		if (t->is_new && !manifest_add(o->fresh, MEDIA_TENSOR, t->digest, t->size, NULL))
			return err_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

int tensors_write(struct output *o, struct plan *p, struct err *err)
{
	struct err ignored;
	int r = 0, noted;

	store_hold(o->store);
	for (size_t i = 0; r == 0 && i < p->n_files; i++)
		if (p->files[i].n_tensors)
			r = work_on_file(o, p, &p->files[i], NULL, err);
	noted = note_fresh(o, p, r == 0 ? err : &ignored);
	return r < 0 ? r : noted;
}

int tensors_find(struct output *o, struct plan *p, struct err *err)
{
	struct sizes sizes = { 0 };
	int r = store_blob_sizes(o->store, &sizes.list, &sizes.n, err);

	for (size_t i = 0; r == 0 && i < p->n_files; i++)
		if (p->files[i].n_tensors)
			r = work_on_file(o, p, &p->files[i], &sizes, err);
	free(sizes.list);
	return r;
}

/* ---- layers ---- */

static json_t *shape_json(const struct plan_tensor *t)
{
	json_t *shape = json_array();

	for (unsigned i = 0; shape && i < t->rank; i++)
		if (json_array_append_new(shape, json_integer((json_int_t)t->shape[i])) < 0) {
			json_decref(shape);
			return NULL;
		}
	return shape;
}

int tensors_layer(struct output *o, const struct plan_tensor *t, struct err *err)
{
	struct layer *layer = output_layer(o, MEDIA_TENSOR, t->digest, t->size, t->name, false);

	if (!layer)
		return err_set(err, -ENOMEM, "out of memory");
	layer->dtype = strdup(t->quant.format ? quant_forms[t->quant.format].name : dtype_name(t->dtype));
	layer->shape = shape_json(t);
	return layer->dtype && layer->shape ? 0 : err_set(err, -ENOMEM, "out of memory");
}
