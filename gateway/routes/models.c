/* GET /v1/models and /v1/models/<id>: the list as OpenAI's clients ask for it. */
#include <errno.h>
#include <string.h>

#include "gateway/catalog.h"
#include "gateway/models.h"
#include "gateway/reply.h"
#include "gateway/routes.h"

static json_t *describe(const char *id, const struct model_name *name, int64_t mtime_ns)
{
	return json_pack("{s:s, s:s, s:I, s:s}", "id", id, "object", "model", "created",
			 (json_int_t)(mtime_ns / 1000000000), "owned_by", name->namespace);
}

void route_models(struct gateway *gw, struct http_request *q)
{
	const struct catalog_entry *const *list;
	json_t *data;
	struct err err;
	size_t n;

	if (catalog_list(gw->catalog, &list, &n, &err) < 0) {
		err.code = -EIO;
		reply_error(q, &err);
		return;
	}
	data = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(data, describe(list[i]->short_name, &list[i]->name, list[i]->mtime_ns));
	reply_json(q, 200, json_pack("{s:s, s:o}", "object", "list", "data", data));
}

/* The rest of the path is the id, slashes included. */
void route_model(struct gateway *gw, struct http_request *q)
{
	const char *id = q->path + strlen("/v1/models/");
	struct manifest *manifest;
	struct model_name name;
	struct err err;
	int r = model_name_read(id, "remote model details are unavailable", &name, &err);

	if (r == 0)
		r = model_read(gw->catalog, &name, &manifest, &err);
	if (r < 0) {
		reply_error(q, &err);
		return;
	}
	reply_json(q, 200, describe(id, &name, manifest->mtime_ns));
	manifest_free(manifest);
}
