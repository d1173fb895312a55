/*
 * POST /api/create: a model out of a folder on this machine or out of another model; and
 * POST /api/verify: whether all its blobs are what their names say.
 * The work is done by a helper process; here its progress is told, at most ten lines a
 * second, and a client that leaves ends it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/timefmt.h"
#include "gateway/bodies.h"
#include "gateway/imports.h"
#include "gateway/models.h"
#include "gateway/reply.h"
#include "gateway/routes.h"
#include "gateway/stream.h"

#define LINE_INTERVAL_NS 100000000

struct creation {
	struct http_request *q;
	struct import *import;
	bool stream;
	int64_t told_ns;                /* when the last line with numbers went out */
};

static bool is_too_soon(struct creation *c, const struct msg_status *s)
{
	int64_t now_ns = time_monotonic_ns();

	if (!s->total || s->completed >= s->total)
		return false;
	if (now_ns - c->told_ns < LINE_INTERVAL_NS)
		return true;
	c->told_ns = now_ns;
	return false;
}

static void on_status(void *owner, const struct msg_status *s)
{
	struct creation *c = owner;
	json_t *line;

	if (!c->stream || is_too_soon(c, s))
		return;
	line = json_pack("{s:s}", "status", s->status);
	if (s->digest)
		json_object_set_new(line, "digest", json_string(s->digest));
	if (s->total)
		json_object_set_new(line, "total", json_integer((json_int_t)s->total));
	if (s->completed)
		json_object_set_new(line, "completed", json_integer((json_int_t)s->completed));
	stream_progress_line(c->q, line);
}

static void succeed(struct creation *c)
{
	json_t *line = json_pack("{s:s}", "status", "success");
	struct evbuffer *body;

	if (c->stream) {
		stream_line(c->q, line);
		http_stream_end(c->q);
		return;
	}
	body = evbuffer_new();
	reply_append_json(body, line);
	http_reply(c->q, 200, TYPE_JSON, body);
	evbuffer_free(body);
}

static void fail(struct creation *c, const struct err *err)
{
	if (!http_streaming(c->q)) {
		reply_plain_error(c->q, err);
		return;
	}
	stream_line(c->q, reply_error_object(c->q, err));
	http_stream_end(c->q);
}

static void on_import_done(void *owner, const struct err *err)
{
	struct creation *c = owner;

	http_on_gone(c->q, NULL, NULL);
	if (err)
		fail(c, err);
	else
		succeed(c);
	free(c);
}

static const struct import_handler import_handler = { on_status, on_import_done };

static void on_client_gone(void *owner)
{
	struct creation *c = owner;

	import_cancel(c->import);
	free(c);
}

/* Below the model's folder, whatever system the client runs on. */
static bool is_inside(const char *path)
{
	if (!*path || *path == '/' || *path == '\\' || (path[0] && path[1] == ':'))
		return false;
	while (*path) {
		size_t len = strcspn(path, "/\\");

		if (len == 2 && !strncmp(path, "..", 2))
			return false;
		path += len + (path[len] != '\0');
	}
	return true;
}

static int check_files(const json_t *files, struct err *err)
{
	char digest[DIGEST_SIZE];
	const char *path;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)files, path, value) {
		const char *text = json_string_value(value);

		if (!is_inside(path))
			return err_set(err, -EINVAL, "file path must be relative");
		if (!text)
			return err_set(err, -EINVAL, "member 'files' must hold digests");
		if (digest_parse(text, digest, err) < 0)
			return -EINVAL;
	}
	return 0;
}

static int check_quantize(const char *asked, struct err *err)
{
	static const char *const words[] = { "fp8", "mxfp8", "int8", "q8", "int4", "q4", "fp4",
					     "nvfp4", "mxfp4" };

	if (!asked || !*asked)
		return 0;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcasecmp(asked, words[i]))
			return 0;
	return err_set(err, -EINVAL, "unsupported --quantize \"%.40s\": supported types are int4, "
		       "int8, nvfp4, mxfp4, mxfp8, fp8", asked);
}

static int check_source(const struct create_body *b, const struct http_request *q, struct err *err)
{
	struct model_name from;

	if (check_files(b->files, err) < 0)
		return -EINVAL;
	if (json_object_size(b->files))
		return err_set(err, -EINVAL,
			       "creating from uploaded files is not supported yet: give "
			       "'from' a folder on the server's machine or the name of a model");
	if (!b->from || !*b->from)
		return err_set(err, -EINVAL, "neither 'from' or 'files' was specified");
	if (b->from[0] != '/')
		return model_name_read(b->from, "remote model is unavailable", &from, err);
	if (!q->peer_local)
		return err_set(err, -EPERM, "creating from a folder is only allowed on the "
			       "server's own machine");
	return 0;
}

static int check(struct gateway *gw, struct create_body *b, const struct http_request *q,
		 struct model_name *ret, struct err *err)
{
	int r = model_name_read(b->model, "remote model is unavailable", ret, err);

	if (r == 0)
		r = check_quantize(b->quantize, err);
	if (r == 0)
		r = check_source(b, q, err);
	if (r == 0)
		r = store_resolve(gw->store, ret, ret, err);
	return r;
}

static int start(struct gateway *gw, struct http_request *q, const struct create_body *b,
		 const struct model_name *name, struct err *err)
{
	struct creation *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	c->q = q;
	c->stream = b->stream;
	r = import_start(gw->imports, name, b->from && b->from[0] == '/' ? b->from : NULL, b,
			 &import_handler,
			 c, &c->import, err);
	if (r < 0) {
		free(c);
		return r;
	}
	http_on_gone(q, on_client_gone, c);
	return 0;
}

void route_create(struct gateway *gw, struct http_request *q)
{
	struct model_name name;
	struct create_body b;
	struct err err;

	if (create_body_read(q->body, q->body_len, &b, &err) < 0) {
		reply_invalid(q, &err);
		return;
	}
	if (check(gw, &b, q, &name, &err) < 0)
		reply_error(q, &err);
	else if (start(gw, q, &b, &name, &err) < 0)
		reply_plain_error(q, &err);
	create_body_clear(&b);
}

void route_verify(struct gateway *gw, struct http_request *q)
{
	struct create_body whole = { .stream = true, .verify = true };
	struct manifest *manifest = NULL;
	struct model_name name;
	struct name_body b;
	struct err err;
	int r;

	if (name_body_read(q->body, q->body_len, "easel.VerifyRequest", &b, &err) < 0) {
		reply_invalid(q, &err);
		return;
	}
	r = *b.model ? model_name_read(b.model, "remote model is unavailable", &name, &err) :
		err_set(&err, -EINVAL, "model is required");
	if (r == 0)
		r = model_read(gw->catalog, &name, &manifest, &err);
	if (r == -ENOENT)
		err_set(&err, r, "model '%.400s' not found", b.model);
	if (r < 0)
		reply_error(q, &err);
	else if (start(gw, q, &whole, &name, &err) < 0)
		reply_plain_error(q, &err);
	manifest_free(manifest);
	name_body_clear(&b);
}
