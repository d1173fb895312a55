/* POST /api/copy: a second name for a model. */
#include <errno.h>
#include <string.h>

#include "gateway/bodies.h"
#include "gateway/catalog.h"
#include "gateway/reply.h"
#include "gateway/routes.h"

static int read_name(const char *text, const char *what, struct model_name *ret, struct err *err)
{
	if (name_parse(text, ret, NULL) == 0)
		return 0;
	return err_set(err, -EINVAL, "%s \"%.400s\" is invalid", what, text);
}

static int copy(struct gateway *gw, const struct name_body *b, struct err *err)
{
	struct model_name asked, from, to;
	int r = read_name(b->source, "source", &asked, err);

	if (r == 0)
		r = read_name(b->destination, "destination", &to, err);
	if (r < 0)
		return r;
	r = catalog_resolve(gw->catalog, &asked, &from, err);
	if (r == 0)
		r = catalog_resolve(gw->catalog, &to, &to, err);
	if (r == 0)
		r = store_copy(gw->store, &from, &to, err);
	if (r == -ENOENT)
		return err_set(err, r, "model \"%.400s\" not found", b->source);
	/* A disk that refuses is not the client's fault. */
	return r < 0 ? err->code = -EIO : 0;
}

void route_copy(struct gateway *gw, struct http_request *q)
{
	struct name_body b;
	struct err err;

	if (name_body_read(q->body, q->body_len, "api.CopyRequest", &b, &err) < 0) {
		reply_invalid(q, &err);
		return;
	}
	if (copy(gw, &b, &err) < 0)
		reply_error(q, &err);
	else
		http_reply(q, 200, NULL, NULL);
	name_body_clear(&b);
}
