/*
 * POST /api/pull and /api/push: lines about a transfer to the client who asked for it;
 * who leaves ends it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/bodies.h"
#include "gateway/catalog.h"
#include "gateway/models.h"
#include "gateway/pool.h"
#include "gateway/reply.h"
#include "gateway/routes.h"
#include "gateway/stream.h"
#include "gateway/transfer/pull.h"
#include "gateway/transfer/push.h"

struct transfer_body {
	char *model, *name, *username, *password;
	bool insecure, stream;
};

static const struct field transfer_fields[] = {
	FIELD(struct transfer_body, model, STR),
	FIELD(struct transfer_body, name, STR),
	FIELD(struct transfer_body, username, STR),
	FIELD(struct transfer_body, password, STR),
	FIELD(struct transfer_body, insecure, BOOL),
	FIELD(struct transfer_body, stream, BOOL),
	{ 0 }
};

struct transfer;

/* What a pull and a push differ in. */
struct direction {
	const char *go_type, *missing;  /* the body's name in messages; without a model */
	int (*start)(struct transfer *t, const struct model_name *name, bool insecure, struct err *err);
	void (*cancel)(struct transfer *t);
	void (*succeeded)(struct transfer *t);
};

struct transfer {
	struct gateway *gw;
	struct http_request *q;
	const struct direction *direction;
	struct model_name name;
	bool stream;
	struct pull *pull;              /* one of the two */
	struct push *push;
};

static void on_line(void *owner, json_t *line)
{
	struct transfer *t = owner;

	if (!t->stream)
		json_decref(line);
	else if (json_object_get(line, "digest"))
		stream_progress_line(t->q, line);
	else
		stream_line(t->q, line);
}

static void reply_success(struct transfer *t)
{
	struct evbuffer *body;

	if (t->stream) {
		http_stream_end(t->q);
		return;
	}
	body = evbuffer_new();
	reply_append_json(body, json_pack("{s:s}", "status", "success"));
	http_reply(t->q, 200, TYPE_JSON, body);
	evbuffer_free(body);
}

static void reply_failure(struct transfer *t, const struct err *err)
{
	struct err failed = *err;

	/* What a registry answers is no answer to our client's request. */
	failed.code = -EREMOTEIO;
	if (!http_streaming(t->q)) {
		reply_plain_error(t->q, &failed);
		return;
	}
	stream_line(t->q, reply_error_object(t->q, &failed));
	http_stream_end(t->q);
}

static void on_done(void *owner, const struct err *err)
{
	struct transfer *t = owner;

	http_on_gone(t->q, NULL, NULL);
	if (!err && t->direction->succeeded)
		t->direction->succeeded(t);
	if (err)
		reply_failure(t, err);
	else
		reply_success(t);
	free(t);
}

static const struct transfer_watcher watcher = { on_line, on_done };

static void on_client_gone(void *owner)
{
	struct transfer *t = owner;

	t->direction->cancel(t);
	free(t);
}

static int begin(struct transfer *t, const struct transfer_body *b, const char *model, struct err *err)
{
	int r;

	if (!*model)
		return err_set(err, -EINVAL, "%s", t->direction->missing);
	r = model_name_read(model, "remote model is unavailable", &t->name, err);
	if (r == 0 && ((b->username && *b->username) || (b->password && *b->password)))
		r = err_set(err, -EINVAL, "username and password are not supported here; see "
			    "docs/REGISTRIES.md");
	if (r == 0)
		r = catalog_resolve(t->gw->catalog, &t->name, &t->name, err);
	if (r == 0)
		r = t->direction->start(t, &t->name, b->insecure, err);
	return r;
}

static void route(struct gateway *gw, struct http_request *q, const struct direction *direction)
{
	struct transfer_body b = { .stream = true };
	struct transfer *t;
	struct err err;
	char *model;
	int r;

	if (body_read(q->body, q->body_len, direction->go_type, transfer_fields, &b, NULL, &err) < 0) {
		reply_invalid(q, &err);
		return;
	}
	model = body_take_first(&b.model, &b.name);
	t = calloc(1, sizeof(*t));
	if (t)
		*t = (struct transfer){ .gw = gw, .q = q, .direction = direction, .stream = b.stream };
	r = t && model ? begin(t, &b, model, &err) : err_set(&err, -ENOMEM, "out of memory");
	if (r < 0) {
		free(t);
		reply_error(q, &err);
	} else {
		http_on_gone(q, on_client_gone, t);
		http_set_patience(q, gw->transfers->client_stall_ns);
	}
	free(model);
	fields_clear(transfer_fields, &b);
}

/* ---- pull ---- */

static int start_pull(struct transfer *t, const struct model_name *name, bool insecure, struct err *err)
{
	return pull_start(t->gw->transfers, name, insecure, &watcher, t, &t->pull, err);
}

static void cancel_pull(struct transfer *t)
{
	pull_cancel(t->pull);
}

/* What the name meant before leaves memory when it is idle. */
static void pulled(struct transfer *t)
{
	char text[NAME_TEXT_SIZE];

	name_short(&t->name, text);
	pool_unload(t->gw->pool, NULL, text, pull_digest(t->pull));
}

void route_pull(struct gateway *gw, struct http_request *q)
{
	static const struct direction direction = {
		"api.PullRequest", "invalid model name", start_pull, cancel_pull, pulled,
	};

	route(gw, q, &direction);
}

/* ---- push ---- */

static int start_push(struct transfer *t, const struct model_name *name, bool insecure, struct err *err)
{
	return push_start(t->gw->transfers, name, insecure, &watcher, t, &t->push, err);
}

static void cancel_push(struct transfer *t)
{
	push_cancel(t->push);
}

void route_push(struct gateway *gw, struct http_request *q)
{
	static const struct direction direction = {
		"api.PushRequest", "model is required", start_push, cancel_push, NULL,
	};

	route(gw, q, &direction);
}
