/*
 * Routes for text in a server that only draws: the model is looked up as everywhere, then
 * the request is refused in the words of the route. Only unloading through /api/chat works.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/timefmt.h"
#include "gateway/bodies.h"
#include "gateway/models.h"
#include "gateway/pool.h"
#include "gateway/reply.h"
#include "gateway/routes.h"

/* What the route would have the model do. */
enum text_task { TASK_CHAT, TASK_GENERATE, TASK_EMBED };

static const struct text_kind {
	const char *path, *go_type;
	enum text_task task;
	bool needs_messages;
	bool unloads;
} kinds[] = {
	{ "/api/chat", "api.ChatRequest", TASK_CHAT, .unloads = true },
	{ "/api/embed", "api.EmbedRequest", TASK_EMBED },
	{ "/api/embeddings", "api.EmbeddingRequest", TASK_EMBED },
	{ "/v1/chat/completions", "openai.ChatCompletionRequest", TASK_CHAT, true },
	{ "/v1/responses", "openai.ResponsesRequest", TASK_CHAT },
	{ "/v1/messages", "anthropic.MessagesRequest", TASK_CHAT },
	{ "/v1/completions", "openai.CompletionRequest", TASK_GENERATE },
	{ "/v1/embeddings", "openai.EmbedRequest", TASK_EMBED },
};

static const struct text_kind *kind_of(const struct http_request *q)
{
	size_t i = 0;

	while (strcmp(kinds[i].path, q->path))
		i++;                    /* the routes are these rows */
	return &kinds[i];
}

struct text_body {
	char *model, *name;
	json_t *messages, *keep_alive;
	const char *asked;              /* the first of the names that is not empty */
	int64_t keep_alive_ns;          /* -1: not said */
};

static const struct field text_fields[] = {
	FIELD(struct text_body, model, STR),
	FIELD(struct text_body, name, STR),
	FIELD(struct text_body, messages, JSON),
	FIELD(struct text_body, keep_alive, JSON),
	{ 0 }
};

static int read_body(const struct text_kind *kind, const struct http_request *q,
		     struct text_body *ret, struct err *err)
{
	int r;

	*ret = (struct text_body){ .keep_alive_ns = -1 };
	r = body_read(q->body, q->body_len, kind->go_type, text_fields, ret, NULL, err);
	if (r < 0)
		return r;
	if (ret->messages && !json_is_array(ret->messages))
		r = err_set(err, -EINVAL, "member 'messages' must be an array");
	if (r == 0 && ret->keep_alive && kind->unloads)
		r = keep_alive_read(ret->keep_alive, &ret->keep_alive_ns, err);
	ret->asked = ret->model && *ret->model ? ret->model : ret->name ? ret->name : "";
	if (r < 0)
		fields_clear(text_fields, ret);
	return r;
}

static int find_model(struct gateway *gw, const struct text_kind *kind, const char *model,
		      struct model_name *name, struct manifest **ret, struct err *err)
{
	int r;

	if (!*model)
		return err_set(err, -EINVAL, "model is required");
	r = model_name_read(model, "remote model is unavailable", name, err);
	if (r == 0)
		r = model_read(gw->catalog, name, ret, err);
	if (r == -ENOENT)
		return err_set(err, r, kind->task == TASK_EMBED ?
			       "model \"%.400s\" not found, try pulling it first" :
			       "model '%.400s' not found", model);
	return r < 0 && r != -EINVAL && r != -EPERM ? err->code = -EIO : r;
}

static int refusal(const struct text_kind *kind, const struct text_body *b, struct err *err)
{
	if (kind->needs_messages && !json_array_size(b->messages))
		return err_set(err, -EINVAL, "[] is too short - 'messages'");
	if (kind->task == TASK_EMBED)
		return err_set(err, -EINVAL, "this model does not support embeddings");
	return err_set(err, -EINVAL, "\"%.400s\" does not support %s", b->asked,
		       kind->task == TASK_CHAT ? "chat" : "generate");
}

static void unload(struct gateway *gw, struct http_request *q, const char *model,
		   const struct model_name *name, const struct manifest *manifest)
{
	char text[NAME_TEXT_SIZE], now[TIME_TEXT_SIZE];

	name_short(name, text);
	pool_unload(gw->pool, manifest->digest, text, NULL);
	time_format(time_now_ns(), true, now);
	reply_json(q, 200, json_pack("{s:s, s:s, s:{s:s, s:s}, s:b, s:s}", "model", model,
				     "created_at", now, "message", "role", "assistant", "content",
				     "", "done", 1, "done_reason", "unload"));
}

void route_text(struct gateway *gw, struct http_request *q)
{
	const struct text_kind *kind = kind_of(q);
	struct manifest *manifest = NULL;
	struct model_name name;
	struct text_body b;
	struct err err;
	int r;

	if (read_body(kind, q, &b, &err) < 0) {
		reply_invalid(q, &err);
		return;
	}
	r = find_model(gw, kind, b.asked, &name, &manifest, &err);
	if (r == 0 && kind->unloads && b.keep_alive_ns == 0 && !json_array_size(b.messages)) {
		unload(gw, q, b.asked, &name, manifest);
	} else {
		if (r == 0)
			refusal(kind, &b, &err);
		reply_error(q, &err);
	}
	manifest_free(manifest);
	fields_clear(text_fields, &b);
}
