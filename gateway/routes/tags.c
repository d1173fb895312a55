/* GET /api/tags: the models of the store, as they are on disk now. */
#include <errno.h>

#include "common/log.h"
#include "common/timefmt.h"
#include "gateway/models.h"
#include "gateway/reply.h"
#include "gateway/routes.h"

static json_t *describe(const struct store_entry *e, const struct model_card *card)
{
	char name[NAME_TEXT_SIZE], modified[TIME_TEXT_SIZE];
	json_t *entry = json_object();

	name_short(&e->name, name);
	time_format(e->manifest->mtime_ns, false, modified);
	json_object_set_new(entry, "name", json_string(name));
	json_object_set_new(entry, "model", json_string(name));
	json_object_set_new(entry, "modified_at", json_string(modified));
	json_object_set_new(entry, "size", json_integer((json_int_t)manifest_size(e->manifest)));
	json_object_set_new(entry, "digest", json_string(model_hex(e->manifest->digest)));
	json_object_set_new(entry, "details", model_details(card));
	if (json_array_size(card->capabilities))
		json_object_set(entry, "capabilities", card->capabilities);
	return entry;
}

static void add_entry(struct gateway *gw, json_t *models, const struct store_entry *e)
{
	struct model_card card;
	struct err err;

	if (model_card_read(gw->store, e->manifest, &card, &err) < 0) {
		log_warn("left out of the list: %s/%s: %s", e->name.model, e->name.tag, err.text);
		return;
	}
	json_array_append_new(models, describe(e, &card));
	model_card_clear(&card);
}

void route_tags(struct gateway *gw, struct http_request *q)
{
	json_t *models = json_array();
	struct store_entry *entries;
	struct err err;
	size_t n;

	if (store_list(gw->store, &entries, &n, &err) < 0) {
		json_decref(models);
		err.code = -EIO;
		reply_error(q, &err);
		return;
	}
	for (size_t i = 0; i < n; i++)
		add_entry(gw, models, &entries[i]);
	store_list_free(entries, n);
	reply_json(q, 200, json_pack("{s:o}", "models", models));
}
