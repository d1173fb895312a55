/* DELETE /api/delete: removes a tag and what only it used; a loaded model expires. */
#include <errno.h>

#include "gateway/bodies.h"
#include "gateway/models.h"
#include "gateway/pool.h"
#include "gateway/reply.h"
#include "gateway/routes.h"

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

static int delete(struct gateway *gw, const char *model, struct err *err)
{
	struct manifest *manifest = NULL;
	struct model_name name;
	char text[NAME_TEXT_SIZE];
	int r = find_model(gw, model, &name, &manifest, err);

	if (r == 0 && (r = store_delete(gw->store, &name, err)) < 0 && r != -ENOENT)
		r = err->code = -EIO;   /* a disk that refuses is not the client's fault */
	if (r == 0) {
		name_short(&name, text);
		pool_unload(gw->pool, manifest ? manifest->digest : NULL, text, NULL);
	}
	manifest_free(manifest);
	return r;
}

void route_delete(struct gateway *gw, struct http_request *q)
{
	struct name_body b;
	struct err err;

	if (name_body_read(q->body, q->body_len, "api.DeleteRequest", &b, &err) < 0) {
		reply_invalid(q, &err);
		return;
	}
	if (delete(gw, b.model, &err) < 0)
		reply_error(q, &err);
	else
		http_reply(q, 200, NULL, NULL);
	name_body_clear(&b);
}
