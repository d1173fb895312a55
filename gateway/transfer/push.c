/*
 * Pushes. Owns each until its end; runs on the event loop. From its start to its end a
 * push holds the store, so that nobody frees what it sends.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "gateway/transfer/image.h"
#include "gateway/transfer/push.h"
#include "gateway/transfer/registry.h"
#include "gateway/transfer/retry.h"
#include "gateway/transfer/upload.h"

/* Begun at the same time: each has a file open. */
#define MAX_OPEN 32u

struct item {
	struct push *push;
	struct blob_upload *upload;
	char *mount_from;
	int fd;
	bool done;
};

struct push {
	struct transfers *all;
	struct store *store;            /* its own, for the hold */
	struct model_name name;
	struct registry *registry;
	struct progress_lines lines;
	struct retry retry;
	struct call *call;
	char *manifest;
	size_t manifest_len;
	struct image image;
	struct item *items;
	size_t n_begun, n_done;
};

static void item_finish(struct item *it)
{
	if (it->upload)
		blob_upload_cancel(it->upload);
	if (it->fd >= 0)
		close(it->fd);
	free(it->mount_from);
	*it = (struct item){ .fd = -1, .done = it->done, .push = it->push };
}

void push_cancel(struct push *p)
{
	for (size_t i = 0; p->items && i < p->image.n_blobs; i++)
		item_finish(&p->items[i]);
	call_cancel(p->call);
	retry_finish(&p->retry);
	progress_lines_finish(&p->lines);
	registry_unref(p->registry);
	image_clear(&p->image);
	free(p->items);
	free(p->manifest);
	store_close(p->store);
	free(p);
}

static void finish(struct push *p, const struct err *err)
{
	p->lines.watcher->done(p->lines.owner, err);
	push_cancel(p);
}

/* ---- the end: the manifest ---- */

static ssize_t read_manifest(void *owner, uint64_t offset, void *to, size_t max)
{
	struct push *p = owner;

	if (max > p->manifest_len - offset)
		max = p->manifest_len - offset;
	memcpy(to, p->manifest + offset, max);
	return (ssize_t)max;
}

static void on_put(void *owner, struct call *c, const struct err *failure)
{
	struct push *p = owner;
	long status = call_status(c);
	char text[400];
	struct err err;
	bool again;

	p->call = NULL;
	if (!failure && (status == 200 || status == 201 || status == 202)) {
		progress_lines_status(&p->lines, "success");
		finish(p, NULL);
		return;
	}
	again = failure ? failure->code == -EIO || failure->code == -ECONNREFUSED : !retry_is_final(status);
	if (again && retry_later(&p->retry, failure ? -1 : call_retry_after(c)))
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
		.method = "PUT", .has_body = true, .body_size = p->manifest_len,
		.headers = { "Content-Type: " MEDIA_MANIFEST },
	};
	char rest[128], *url;
	struct err err;
	int r;

	snprintf(rest, sizeof(rest), "manifests/%s", p->name.tag);
	url = registry_url(p->registry, rest);
	order.url = url;
	r = url ? call_start(p->registry, &order, &put_handler, p, &p->call, &err) :
		err_set(&err, -ENOMEM, "out of memory");
	free(url);
	if (r < 0)
		finish(p, &err);
}

/* ---- blobs ---- */

static uint64_t count(void *transfer)
{
	struct push *p = transfer;
	uint64_t sum = 0;

	for (size_t i = 0; i < p->image.n_blobs; i++) {
		const struct image_blob *b = &p->image.blobs[i];

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
	if (p->n_done == p->image.n_blobs) {
		progress_lines_end(&p->lines);
		put_manifest(p);
	} else if (begin_more(p, &err) < 0) {
		finish(p, &err);
	}
}

static const struct blob_upload_handler upload_handler = { on_blob };

/* "namespace/model" of where a layer came from, where that is on the same registry. */
static char *mount_source(const struct push *p, const char *from)
{
	struct model_name name;
	char *ret;

	if (!from || name_parse(from, &name, NULL) < 0 || strcasecmp(name.host, p->name.host))
		return NULL;
	if (!strcasecmp(name.namespace, p->name.namespace) && !strcasecmp(name.model, p->name.model))
		return NULL;
	return asprintf(&ret, "%s/%s", name.namespace, name.model) < 0 ? NULL : ret;
}

static int begin(struct push *p, size_t i, struct err *err)
{
	const struct image_blob *b = &p->image.blobs[i];
	struct item *it = &p->items[i];
	uint64_t size;
	int r = store_blob_stat(p->store, b->digest, &size, err);

	if (r < 0)
		return r;
	if (size != b->size)
		return err_set(err, -EBADMSG, "blob %s has %" PRIu64 " bytes, the manifest says %" PRIu64
			       ": pull or create the model again", b->digest, size, b->size);
	it->fd = store_blob_open(p->store, b->digest, err);
	if (it->fd < 0)
		return it->fd;
	it->mount_from = mount_source(p, b->from);
	return blob_upload_start(p->all, p->registry, b, it->fd, it->mount_from, &upload_handler, it,
				 &it->upload, err);
}

static int begin_more(struct push *p, struct err *err)
{
	int r = 0;

	while (r == 0 && p->n_begun < p->image.n_blobs && p->n_begun - p->n_done < MAX_OPEN)
		r = begin(p, p->n_begun++, err);
	return r;
}

static void fail_manifest(struct push *p, const struct err *err)
{
	progress_lines_status(&p->lines, "couldn't retrieve manifest");
	finish(p, err);
}

static int read_model(struct push *p, struct err *err)
{
	struct manifest *m;
	int r = store_read_bytes(p->store, &p->name, &p->manifest, &p->manifest_len, err);

	if (r == 0)
		r = manifest_parse(p->manifest, p->manifest_len, &m, err);
	if (r == 0)
		r = image_make(m, &p->image, err);
	if (r == 0) {
		p->items = calloc(p->image.n_blobs + 1, sizeof(*p->items));
		if (!p->items)
			r = err_set(err, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; r == 0 && i < p->image.n_blobs; i++)
		p->items[i] = (struct item){ .push = p, .fd = -1 };
	return r;
}

/* The first turn begins the blobs, later ones repeat the last request. */
static void go(void *owner)
{
	struct push *p = owner;
	struct err err;

	if (p->items) {
		put_manifest(p);
		return;
	}
	if (read_model(p, &err) < 0) {
		fail_manifest(p, &err);
		return;
	}
	p->lines.total = p->image.total;
	progress_lines_begin(&p->lines);
	if (begin_more(p, &err) < 0)
		finish(p, &err);
}

static int prepare(struct push *p, bool insecure, struct err *err)
{
	int r = store_open(store_root(p->all->store), &p->store, err);

	if (r == 0)
		r = retry_init(&p->retry, p->all->base, p->all->retry_ns, go, p, err);
	if (r == 0)
		r = progress_lines_init(&p->lines, p->all->base, err);
	if (r == 0)
		r = registry_open(p->all->fetcher, &p->name, insecure, REGISTRY_PUSH, &p->registry, err);
	if (r == 0)
		store_hold(p->store);
	return r;
}

int push_start(struct transfers *t, const struct model_name *name, bool insecure,
	       const struct transfer_watcher *watcher, void *owner, struct push **ret, struct err *err)
{
	static const struct timeval at_once = { 0 };
	struct push *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	p->all = t;
	p->name = *name;
	p->lines = (struct progress_lines){
		.watcher = watcher, .owner = owner, .status = "pushing model", .count = count, .transfer = p,
	};
	r = prepare(p, insecure, err);
	if (r < 0) {
		push_cancel(p);
		return r;
	}
	progress_lines_status(&p->lines, "retrieving manifest");
	evtimer_add(p->retry.timer, &at_once);
	*ret = p;
	return 0;
}
