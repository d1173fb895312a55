/* GET /api/tags: the models of the store, as they are on disk now. */
#include <errno.h>
#include <string.h>

#include <event2/buffer.h>

#include "gateway/catalog.h"
#include "gateway/reply.h"
#include "gateway/routes.h"

static void append(struct evbuffer *out, const char *text)
{
	evbuffer_add(out, text, strlen(text));
}

void route_tags(struct gateway *gw, struct http_request *q)
{
	const struct catalog_entry *const *list;
	struct evbuffer *out;
	struct err err;
	size_t n;

	if (catalog_list(gw->catalog, &list, &n, &err) < 0) {
		err.code = -EIO;
		reply_error(q, &err);
		return;
	}
	out = evbuffer_new();
	if (!out) {
		err_set(&err, -ENOMEM, "out of memory");
		reply_error(q, &err);
		return;
	}
	append(out, "{\"models\":[");
	for (size_t i = 0; i < n; i++) {
		append(out, i ? "," : "");
		append(out, list[i]->listed);
	}
	append(out, "]}");
	http_reply(q, 200, TYPE_JSON_UTF8, out);
	evbuffer_free(out);
}
