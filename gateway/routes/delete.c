/* DELETE /api/delete: removes a tag and what only it used; a loaded model expires. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/bodies.h"
#include "gateway/models.h"
#include "gateway/pool.h"
#include "gateway/reply.h"
#include "gateway/routes.h"
#include "gateway/transfer/transfers.h"

static int find_model(struct gateway *gw, const char *model, struct model_name *ret,
		      struct manifest **ret_manifest, struct err *err)
{
	int r;

	if (!*model)
		return err_set(err, -EINVAL, "model is required");
	if (model_name_read(model, "remote model is unavailable", ret, err) < 0)
		return err_set(err, -EINVAL, "name \"%.400s\" is invalid", model);
	r = model_read(gw->catalog, ret, ret_manifest, err);
	if (r == -ENOENT)
		return err_set(err, r, "model '%.400s' not found", model);
	/* A damaged tag must be deletable. */
	return r == -EBADMSG ? 0 : r;
}

/* One request, on its way through the disk's threads. */
struct deletion {
	struct gateway *gw;
	struct http_request *q;         /* NULL: its client left */
	struct model_name name;
	char digest[DIGEST_SIZE];       /* "": it is damaged */
	struct strand strand;
	struct disk_job job;
	int result;
	struct err err;
};

/* On a disk thread, with a handle of its own: every tag is read to see what is still used. */
static void run(void *arg)
{
	struct deletion *d = arg;
	struct store *store;

	d->result = store_open(store_root(d->gw->store), &store, &d->err);
	if (d->result == 0) {
		d->result = store_delete(store, &d->name, &d->err);
		store_close(store);
	}
	if (d->result < 0 && d->result != -ENOENT)
		d->result = d->err.code = -EIO; /* a disk that refuses is not the client's fault */
}

static void on_done(void *arg)
{
	struct deletion *d = arg;
	char text[NAME_TEXT_SIZE];

	name_short(&d->name, text);
	if (d->result == 0)
		pool_unload(d->gw->pool, d->digest[0] ? d->digest : NULL, text, NULL);
	if (d->q)
		http_on_gone(d->q, NULL, NULL);
	if (d->q && d->result < 0)
		reply_error(d->q, &d->err);
	else if (d->q)
		http_reply(d->q, 200, NULL, NULL);
	free(d);
}

static void on_client_gone(void *owner)
{
	struct deletion *d = owner;

	d->q = NULL;
}

static int start(struct gateway *gw, struct http_request *q, const char *model, struct err *err)
{
	struct manifest *manifest = NULL;
	struct model_name name;
	struct deletion *d;
	int r = find_model(gw, model, &name, &manifest, err);

	if (r < 0)
		return r;
	d = calloc(1, sizeof(*d));
	if (d) {
		*d = (struct deletion){ .gw = gw, .q = q, .name = name, .job = { .run = run, .done = on_done, .arg = d } };
		if (manifest)
			memcpy(d->digest, manifest->digest, DIGEST_SIZE);
		strand_init(&d->strand);
		http_on_gone(q, on_client_gone, d);
		disk_post(gw->transfers->disk, &d->strand, &d->job);
	}
	manifest_free(manifest);
	return d ? 0 : err_set(err, -ENOMEM, "out of memory");
}

void route_delete(struct gateway *gw, struct http_request *q)
{
	struct name_body b;
	struct err err;

	if (name_body_read(q->body, q->body_len, "api.DeleteRequest", &b, &err) < 0) {
		reply_invalid(q, &err);
		return;
	}
	if (start(gw, q, b.model, &err) < 0)
		reply_error(q, &err);
	name_body_clear(&b);
}
