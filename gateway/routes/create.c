/*
 * POST /api/create: a model out of a folder on this machine, of uploaded files or of another
 * model, which is pulled where it is not here; and POST /api/verify: whether all its blobs
 * are what their names say.
 * The work is done by a helper process; here its progress is told, at most ten lines a
 * second, and a client that leaves ends it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/quantise.h"
#include "common/text.h"
#include "common/timefmt.h"
#include "gateway/bodies.h"
#include "gateway/catalog.h"
#include "gateway/imports.h"
#include "gateway/models.h"
#include "gateway/reply.h"
#include "gateway/routes.h"
#include "gateway/stream.h"
#include "gateway/transfer/pull.h"

#define LINE_INTERVAL_NS 100000000

/* One request, from its check until its answer. */
struct creation {
	struct gateway *gw;
	struct http_request *q;
	struct create_body body;
	struct model_name name, from;   /* from: where body.from names a model */
	struct pull *pull;              /* of that, before the import */
	struct import *import;
	int64_t told_ns;                /* when the last line with numbers went out */
};

static void creation_free(struct creation *c)
{
	create_body_clear(&c->body);
	free(c);
}

/* ---- answers ---- */

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

	if (!c->body.stream || is_too_soon(c, s))
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

	if (c->body.stream) {
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

/* The answer, and the end of it. */
static void finish(struct creation *c, const struct err *err)
{
	http_on_gone(c->q, NULL, NULL);
	if (err)
		fail(c, err);
	else
		succeed(c);
	creation_free(c);
}

/* ---- the work ---- */

static void on_import_done(void *owner, const struct err *err)
{
	finish(owner, err);
}

static int start_import(struct creation *c, struct err *err)
{
	static const struct import_handler handler = { on_status, on_import_done };
	const char *from = c->body.from;

	return import_start(c->gw->imports, &c->name, from && from[0] == '/' ? from : NULL, &c->body,
			    &handler, c, &c->import, err);
}

/* The pull's success is not ours. */
static void on_pull_line(void *owner, json_t *line)
{
	struct creation *c = owner;
	const char *status = json_string_value(json_object_get(line, "status"));

	if (!c->body.stream || (status && !strcmp(status, "success")))
		json_decref(line);
	else if (json_object_get(line, "digest"))
		stream_progress_line(c->q, line);
	else
		stream_line(c->q, line);
}

static void on_pull_done(void *owner, const struct err *failure)
{
	struct creation *c = owner;
	struct err err;

	c->pull = NULL;
	if (failure) {
		err = *failure;
		/* What a registry answers is no answer to our client's request. */
		err.code = -EREMOTEIO;
		finish(c, &err);
	} else if (start_import(c, &err) < 0) {
		finish(c, &err);
	}
}

static bool is_missing(struct creation *c)
{
	struct manifest *manifest = NULL;
	struct err ignored;
	int r;

	if (!c->body.from || c->body.from[0] == '/' || json_object_size(c->body.files))
		return false;
	r = model_read(c->gw->catalog, &c->from, &manifest, &ignored);
	manifest_free(manifest);
	return r == -ENOENT;
}

static void on_client_gone(void *owner)
{
	struct creation *c = owner;

	if (c->pull)
		pull_cancel(c->pull);
	else
		import_cancel(c->import);
	creation_free(c);
}

static int start(struct creation *c, struct err *err)
{
	static const struct transfer_watcher watcher = { on_pull_line, on_pull_done };
	int r;

	if (!c->body.verify && is_missing(c))
		r = pull_start(c->gw->transfers, &c->from, c->body.insecure, &watcher, c, &c->pull, err);
	else
		r = start_import(c, err);
	if (r == 0)
		http_on_gone(c->q, on_client_gone, c);
	if (c->pull)
		http_set_patience(c->q, c->gw->transfers->client_stall_ns);
	return r;
}

/* ---- requests ---- */

/* Below the model's folder, whatever system the client runs on. */
static bool is_inside(const char *path)
{
	if (!*path || *path == '/' || *path == '\\' || path[1] == ':')
		return false;
	while (*path) {
		size_t len = strcspn(path, "/\\");

		if (len == 0 || (len == 1 && path[0] == '.') || (len == 2 && !strncmp(path, "..", 2)))
			return false;
		path += len;
		if (*path && !*++path)
			return false;
	}
	return true;
}

/* Digests are as the store writes them afterwards. */
static int check_files(json_t *files, struct err *err)
{
	char digest[DIGEST_SIZE];
	bool is_known = !json_object_size(files);
	const char *path;
	json_t *value;

	json_object_foreach(files, path, value) {
		const char *text = json_string_value(value);

		if (!is_inside(path))
			return err_set(err, -EINVAL, "file path must be relative");
		if (!text)
			return err_set(err, -EINVAL, "member 'files' must hold digests");
		if (digest_parse(text, digest, err) < 0)
			return -EINVAL;
		if (json_string_set(value, digest) < 0)
			return err_set(err, -ENOMEM, "out of memory");
		is_known |= text_ends_with(path, ".safetensors") || text_ends_with(path, ".gguf");
	}
	if (json_object_size(files) > LIMIT_CREATE_FILES)
		return err_set(err, -EINVAL, "member 'files' has %zu members, at most %u are allowed",
			       json_object_size(files), LIMIT_CREATE_FILES);
	return is_known ? 0 : err_set(err, -EINVAL, "unknown type");
}

static int check_source(struct creation *c, struct err *err)
{
	const char *from = c->body.from;
	const bool has_from = from && *from;
	int r = check_files(c->body.files, err);

	if (r < 0)
		return r;
	if (json_object_size(c->body.files))
		return !has_from ? 0 : err_set(err, -EINVAL, "a model is made from 'from' or from 'files', "
					       "not from both");
	if (!has_from)
		return err_set(err, -EINVAL, "neither 'from' or 'files' was specified");
	if (from[0] != '/')
		return model_name_read(from, "remote model is unavailable", &c->from, err);
	if (!c->q->peer_local)
		return err_set(err, -EPERM, "creating from a folder is only allowed on the "
			       "server's own machine");
	return 0;
}

static int check(struct creation *c, struct err *err)
{
	int r = model_name_read(c->body.model, "remote model is unavailable", &c->name, err);

	if (r == 0)
		r = quantise_check(c->body.quantize, err);
	if (r == 0)
		r = check_source(c, err);
	if (r == 0)
		r = catalog_resolve(c->gw->catalog, &c->name, &c->name, err);
	return r;
}

static struct creation *creation_create(struct gateway *gw, struct http_request *q)
{
	struct creation *c = calloc(1, sizeof(*c));
	struct err err;

	if (c) {
		*c = (struct creation){ .gw = gw, .q = q };
	} else {
		err_set(&err, -ENOMEM, "out of memory");
		reply_error(q, &err);
	}
	return c;
}

void route_create(struct gateway *gw, struct http_request *q)
{
	struct creation *c = creation_create(gw, q);
	struct err err;

	if (!c)
		return;
	if (create_body_read(q->body, q->body_len, &c->body, &err) < 0)
		reply_invalid(q, &err);
	else if (check(c, &err) < 0)
		reply_error(q, &err);
	else if (start(c, &err) < 0)
		reply_plain_error(q, &err);
	else
		return;
	creation_free(c);
}

static int find_verified(struct creation *c, struct err *err)
{
	struct manifest *manifest = NULL;
	struct name_body b;
	int r;

	if (name_body_read(c->q->body, c->q->body_len, "easel.VerifyRequest", &b, err) < 0) {
		reply_invalid(c->q, err);
		return -EINVAL;
	}
	r = *b.model ? model_name_read(b.model, "remote model is unavailable", &c->name, err) :
		err_set(err, -EINVAL, "model is required");
	if (r == 0)
		r = model_read(c->gw->catalog, &c->name, &manifest, err);
	if (r == -ENOENT)
		err_set(err, r, "model '%.400s' not found", b.model);
	if (r < 0)
		reply_error(c->q, err);
	manifest_free(manifest);
	name_body_clear(&b);
	return r;
}

void route_verify(struct gateway *gw, struct http_request *q)
{
	struct creation *c = creation_create(gw, q);
	struct err err;

	if (!c)
		return;
	c->body = (struct create_body){ .stream = true, .verify = true };
	if (find_verified(c, &err) == 0) {
		if (start(c, &err) == 0)
			return;
		reply_plain_error(q, &err);
	}
	creation_free(c);
}
