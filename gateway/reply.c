/*
 * JSON answers and errors, in two dialects, from one table of statuses. Owns nothing;
 * runs on the event loop.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "common/fields.h"
#include "common/log.h"
#include "gateway/reply.h"

static const struct {
	int code, status;
} statuses[] = {
	{ -EINVAL, 400 }, { -ENOKEY, 401 }, { -EPERM, 403 }, { -ENOENT, 404 },
	{ -EMSGSIZE, 413 }, { -E2BIG, 431 }, { -ECANCELED, 499 }, { -EBUSY, 503 },
	{ -EPROTONOSUPPORT, 505 },
};

/* error code -> HTTP status */
static int status_of(int code)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].code == code)
			return statuses[i].status;
	return 500;
}

static bool is_openai(const struct http_request *q)
{
	return !strncmp(q->path, "/v1/", 4);
}

void reply_append_json(struct evbuffer *out, json_t *value)
{
	char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	if (text)
		evbuffer_add(out, text, strlen(text));
	free(text);
	json_decref(value);
}

void reply_append_base64(struct evbuffer *out, const void *data, size_t len)
{
	struct evbuffer_iovec room;

	if (evbuffer_reserve_space(out, (ev_ssize_t)base64_size(len), &room, 1) < 1)
		return;
	room.iov_len = base64_encode(data, len, room.iov_base);
	evbuffer_commit_space(out, &room, 1);
}

void reply_append_picture(struct evbuffer *out, json_t *value, const char *member,
			  const void *png, size_t len)
{
	bool empty = json_object_size(value) == 0;
	char *text = json_dumps(value, JSON_COMPACT);

	/* The text is reopened at its last brace, so that the picture is written once. */
	if (text)
		evbuffer_add(out, text, strlen(text) - 1);
	evbuffer_add_printf(out, "%s\"%s\":\"", empty ? "" : ",", member);
	reply_append_base64(out, png, len);
	evbuffer_add(out, "\"}", 2);
	free(text);
	json_decref(value);
}

static void send_json(struct http_request *q, int status, const char *type, json_t *value)
{
	struct evbuffer *body = evbuffer_new();

	reply_append_json(body, value);
	if (is_openai(q) && !strcmp(type, TYPE_JSON))
		evbuffer_add(body, "\n", 1);
	http_reply(q, status, type, body);
	evbuffer_free(body);
}

void reply_json(struct http_request *q, int status, json_t *value)
{
	send_json(q, status, is_openai(q) ? TYPE_JSON : TYPE_JSON_UTF8, value);
}

static const char *error_type(int status)
{
	if (status == 400)
		return "invalid_request_error";
	return status == 404 ? "not_found_error" : "api_error";
}

/* Anthropic's shape, of the one route that has it. */
static json_t *message_error(const struct http_request *q, const struct err *err)
{
	char id[4 + HTTP_ID_SIZE];

	snprintf(id, sizeof(id), "req_%s", q->id);
	return json_pack("{s:s, s:{s:s, s:o}, s:s}", "type", "error", "error", "type",
			 error_type(status_of(err->code)), "message", text_json(err->text),
			 "request_id", id);
}

json_t *reply_error_object(const struct http_request *q, const struct err *err)
{
	if (status_of(err->code) >= 500)
		log_request(LOG_WARN, q->id, "%s", err->text);
	if (!strcmp(q->path, "/v1/messages"))
		return message_error(q, err);
	/* The text may quote bytes of a path, of a child's output, or half a letter. */
	if (!is_openai(q))
		return json_pack("{s:o}", "error", text_json(err->text));
	return json_pack("{s:{s:o, s:s, s:n, s:n}}", "error", "message", text_json(err->text),
			 "type", error_type(status_of(err->code)), "param", "code");
}

void reply_error(struct http_request *q, const struct err *err)
{
	/* Clients that were turned away should not come back at once. */
	if (err->code == -EBUSY)
		http_add_header(q, "Retry-After", "1");
	reply_json(q, status_of(err->code), reply_error_object(q, err));
}

void reply_invalid(struct http_request *q, const struct err *err)
{
	send_json(q, status_of(err->code), TYPE_JSON_UTF8, reply_error_object(q, err));
}

void reply_plain_error(struct http_request *q, const struct err *err)
{
	send_json(q, status_of(err->code), TYPE_JSON, reply_error_object(q, err));
}
