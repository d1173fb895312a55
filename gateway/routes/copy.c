/* POST /api/copy: a second name for a model. */
#include <errno.h>

#include "gateway/bodies.h"
#include "gateway/catalog.h"
#include "gateway/reply.h"
#include "gateway/routes.h"
#include "gateway/routes/store_work.h"

static int read_name(const char *text, const char *what, struct model_name *ret, struct err *err)
{
	if (name_parse(text, ret, NULL) == 0)
		return 0;
	return err_set(err, -EINVAL, "%s \"%.400s\" is invalid", what, text);
}

static int run(struct store *s, const struct store_work *w, struct err *err)
{
	return store_copy(s, &w->name, &w->to, err);
}

static int start(struct gateway *gw, struct http_request *q, const struct name_body *b, struct err *err)
{
	struct store_work work = { .run = run };
	struct model_name asked, to;
	int r = read_name(b->source, "source", &asked, err);

	if (r == 0)
		r = read_name(b->destination, "destination", &to, err);
	if (r < 0)
		return r;
	r = catalog_resolve(gw->catalog, &asked, &work.name, err);
	if (r == 0)
		r = catalog_resolve(gw->catalog, &to, &work.to, err);
	if (r < 0)
		return err->code = -EIO;        /* a disk that refuses is not the client's fault */
	if (!store_has(gw->store, &work.name))
		return err_set(err, -ENOENT, "model \"%.400s\" not found", b->source);
	return store_work_start(gw, q, &work, err);
}

void route_copy(struct gateway *gw, struct http_request *q)
{
	struct name_body b;
	struct err err;

	if (name_body_read(q->body, q->body_len, "api.CopyRequest", &b, &err) < 0) {
		reply_invalid(q, &err);
		return;
	}
	if (start(gw, q, &b, &err) < 0)
		reply_error(q, &err);
	name_body_clear(&b);
}
