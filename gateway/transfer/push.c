/*
 * Pushes. Owns each until its end; runs on the event loop. From its first job to its end a
 * push holds the store, so that nobody frees what it sends.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/transfer/model_transfer.h"
#include "gateway/transfer/mounts.h"
#include "gateway/transfer/push.h"
#include "gateway/transfer/upload.h"

/* Begun at the same time: each has a file open. */
#define MAX_OPEN 32u

struct item {
	struct push *push;
	struct blob_upload *upload;
	int fd;
	bool done;
};

struct push {
	struct model_transfer common;
	struct item *items;
	char **mounts;
	size_t n_begun, n_done;
};

static void item_finish(struct item *it)
{
	if (it->upload)
		blob_upload_cancel(it->upload);
	if (it->fd >= 0)
		close(it->fd);
	*it = (struct item){ .fd = -1, .done = it->done, .push = it->push };
}

static void push_free(struct push *p)
{
	size_t n = p->common.image.n_blobs;

	for (size_t i = 0; p->items && i < n; i++)
		item_finish(&p->items[i]);
	mounts_free(p->mounts, n);
	model_transfer_close(&p->common);
	free(p->items);
	free(p);
}

void push_cancel(struct push *p)
{
	if (model_transfer_cancel(&p->common))
		push_free(p);
}

static void finish(struct push *p, const struct err *err)
{
	p->common.lines.watcher->done(p->common.lines.owner, err);
	push_cancel(p);
}

/* ---- the end: the manifest ---- */

static ssize_t read_manifest(void *owner, uint64_t offset, void *to, size_t max)
{
	struct push *p = owner;

	if (max > p->common.manifest_len - offset)
		max = p->common.manifest_len - offset;
	memcpy(to, p->common.manifest + offset, max);
	return (ssize_t)max;
}

static void on_put(void *owner, struct call *c, const struct err *failure)
{
	struct push *p = owner;
	long status = call_status(c);
	char text[400];
	struct err err;
	bool again;

	p->common.call = NULL;
	if (!failure && (status == 200 || status == 201 || status == 202)) {
		progress_lines_status(&p->common.lines, "success");
		finish(p, NULL);
		return;
	}
	again = failure ? failure->code == -EIO || failure->code == -ECONNREFUSED : !retry_is_final(status);
	if (again && retry_later(&p->common.retry, failure ? -1 : call_retry_after(c)))
		return;
	if (failure) {
		err = *failure;
	} else {
		retry_describe(status, call_body(c, NULL), text, sizeof(text));
		err_set(&err, -EREMOTEIO, "%spush model manifest: %s",
			status == 401 || status == 403 ? "access denied: " : "", text);
	}
	finish(p, &err);
}

static const struct call_handler put_handler = { .body = read_manifest, .done = on_put };

static void put_manifest(struct push *p)
{
	struct call_order order = {
		.method = "PUT", .has_body = true, .body_size = p->common.manifest_len,
		.headers = { "Content-Type: " MEDIA_MANIFEST },
	};
	struct err err;

	if (model_transfer_call(&p->common, order, &put_handler, p, &err) < 0)
		finish(p, &err);
}

/* ---- blobs ---- */

static uint64_t count(void *transfer)
{
	struct push *p = transfer;
	uint64_t sum = 0;

	for (size_t i = 0; i < p->common.image.n_blobs; i++) {
		const struct image_blob *b = &p->common.image.blobs[i];

		if (p->items[i].done)
			sum += b->size * b->copies;
		else if (p->items[i].upload)
			sum += blob_upload_len(p->items[i].upload) * b->copies;
	}
	return sum;
}

static int begin_more(struct push *p, struct err *err);

static void on_blob(void *owner, const struct err *failure)
{
	struct item *it = owner;
	struct push *p = it->push;
	struct err err;

	it->upload = NULL;
	if (failure) {
		finish(p, failure);
		return;
	}
	it->done = true;
	item_finish(it);
	p->n_done++;
	if (p->n_done == p->common.image.n_blobs) {
		progress_lines_end(&p->common.lines);
		put_manifest(p);
	} else if (begin_more(p, &err) < 0) {
		finish(p, &err);
	}
}

static const struct blob_upload_handler upload_handler = { on_blob };

static int begin(struct push *p, size_t i, struct err *err)
{
	const struct image_blob *b = &p->common.image.blobs[i];
	struct item *it = &p->items[i];
	uint64_t size;
	int r = store_blob_stat(p->common.store, b->digest, &size, err);

	if (r < 0)
		return r;
	if (size != b->size)
		return err_set(err, -EBADMSG, "blob %s has %" PRIu64 " bytes, the manifest says %" PRIu64
			       ": pull or create the model again", b->digest, size, b->size);
	it->fd = store_blob_open(p->common.store, b->digest, err);
	if (it->fd < 0)
		return it->fd;
	return blob_upload_start(p->common.all, p->common.registry, b, it->fd, p->mounts[i], &upload_handler, it,
				 &it->upload, err);
}

static int begin_more(struct push *p, struct err *err)
{
	int r = 0;

	while (r == 0 && p->n_begun < p->common.image.n_blobs && p->n_begun - p->n_done < MAX_OPEN)
		r = begin(p, p->n_begun++, err);
	return r;
}

static void fail_manifest(struct push *p, const struct err *err)
{
	progress_lines_status(&p->common.lines, "couldn't retrieve manifest");
	finish(p, err);
}

static int read_model(struct push *p, struct err *err)
{
	struct model_transfer *c = &p->common;
	struct manifest *m;
	int r = store_read_bytes(c->store, &c->name, &c->manifest, &c->manifest_len, err);

	if (r == 0)
		r = manifest_parse(c->manifest, c->manifest_len, &m, err);
	if (r == 0)
		r = image_make(m, &c->image, err);
	if (r < 0)
		return r;
	/* What is named after the public registry need never have gone there. */
	p->mounts = mounts_find(c->store, &c->name, &c->image, !registry_site(c->registry)->ollama);
	p->items = p->mounts ? calloc(c->image.n_blobs + 1, sizeof(*p->items)) : NULL;
	if (!p->items)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < c->image.n_blobs; i++)
		p->items[i] = (struct item){ .push = p, .fd = -1 };
	return 0;
}

static void run_read(void *arg)
{
	struct push *p = arg;

	store_hold(p->common.store);
	p->common.result = read_model(p, &p->common.err);
}

static void on_read(void *arg)
{
	struct push *p = arg;
	struct err err;

	if (!model_transfer_took(&p->common)) {
		push_free(p);
	} else if (p->common.result < 0) {
		fail_manifest(p, &p->common.err);
	} else {
		p->common.lines.total = p->common.image.total;
		progress_lines_begin(&p->common.lines);
		if (begin_more(p, &err) < 0)
			finish(p, &err);
	}
}

/* The first turn begins the blobs, later ones repeat the last request. */
static void go(void *owner)
{
	struct push *p = owner;

	if (p->items)
		put_manifest(p);
	else
		model_transfer_post(&p->common, run_read, on_read, p);
}

int push_start(struct transfers *t, const struct model_name *name, bool insecure,
	       const struct transfer_watcher *watcher, void *owner, struct push **ret, struct err *err)
{
	static const struct model_transfer_kind kind = {
		"retrieving manifest", "pushing model", REGISTRY_PUSH, go, count,
	};
	struct push *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	r = model_transfer_open(&p->common, t, name, insecure, &kind, p, watcher, owner, err);
	if (r < 0)
		free(p);
	else
		*ret = p;
	return r;
}
