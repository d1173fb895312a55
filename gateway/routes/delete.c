/* DELETE /api/delete: removes a tag and what only it used; a loaded model expires. */
#include <errno.h>
#include <string.h>

#include "gateway/bodies.h"
#include "gateway/models.h"
#include "gateway/pool.h"
#include "gateway/reply.h"
#include "gateway/routes.h"
#include "gateway/routes/store_work.h"

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

static int run(struct store *s, const struct store_work *w, struct err *err)
{
	return store_delete(s, &w->name, err);
}

static void unload(struct gateway *gw, const struct store_work *w)
{
	char text[NAME_TEXT_SIZE];

	name_short(&w->name, text);
	pool_unload(gw->pool, w->digest[0] ? w->digest : NULL, text, NULL);
}

static int start(struct gateway *gw, struct http_request *q, const char *model, struct err *err)
{
	struct store_work work = { .run = run, .succeeded = unload };
	struct manifest *manifest = NULL;
	int r = find_model(gw, model, &work.name, &manifest, err);

	if (manifest)                   /* else it is damaged */
		memcpy(work.digest, manifest->digest, DIGEST_SIZE);
	manifest_free(manifest);
	return r < 0 ? r : store_work_start(gw, q, &work, err);
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
