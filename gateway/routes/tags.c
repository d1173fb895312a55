/* GET /api/tags: the models of the store, as they are on disk now. */
#include <errno.h>
#include <stdlib.h>

#include "common/timefmt.h"
#include "gateway/catalog.h"
#include "gateway/models.h"
#include "gateway/reply.h"
#include "gateway/routes.h"

static json_t *describe(const struct catalog_entry *e)
{
	char name[NAME_TEXT_SIZE], modified[TIME_TEXT_SIZE];
	json_t *entry = json_object();

	name_short(&e->name, name);
	time_format(e->mtime_ns, false, modified);
	json_object_set_new(entry, "name", json_string(name));
	json_object_set_new(entry, "model", json_string(name));
	json_object_set_new(entry, "modified_at", json_string(modified));
	json_object_set_new(entry, "size", json_integer((json_int_t)e->size));
	json_object_set_new(entry, "digest", json_string(model_hex(e->digest)));
	json_object_set(entry, "details", e->details);
	if (e->capabilities)
		json_object_set(entry, "capabilities", e->capabilities);
	return entry;
}

void route_tags(struct gateway *gw, struct http_request *q)
{
	const struct catalog_entry **list;
	json_t *models;
	struct err err;
	size_t n;

	if (catalog_list(gw->catalog, &list, &n, &err) < 0) {
		err.code = -EIO;
		reply_error(q, &err);
		return;
	}
	models = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(models, describe(list[i]));
	free(list);
	reply_json(q, 200, json_pack("{s:o}", "models", models));
}
