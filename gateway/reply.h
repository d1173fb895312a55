#ifndef EASEL_GATEWAY_REPLY_H
#define EASEL_GATEWAY_REPLY_H

#include <jansson.h>
#include <stdbool.h>

#include "common/err.h"
#include "gateway/http.h"

/* JSON answers in the dialect of the route: Ollama's below /api, OpenAI's below /v1. */
#define TYPE_JSON      "application/json"
#define TYPE_JSON_UTF8 "application/json; charset=utf-8"

/* value is consumed. */
void reply_json(struct http_request *q, int status, json_t *value);
/* Any failure in the work. */
void reply_error(struct http_request *q, const struct err *err);
/* What the check of the request itself found; differs from reply_error() by a charset. */
void reply_invalid(struct http_request *q, const struct err *err);
/* reply_error() of a create: no charset, as the reference has it. */
void reply_plain_error(struct http_request *q, const struct err *err);
/* The error object of the dialect; a failure of the server's own is logged. */
json_t *reply_error_object(const struct http_request *q, const struct err *err);

/* Compact JSON at the end of a buffer; value is consumed. */
void reply_append_json(struct evbuffer *out, json_t *value);
void reply_append_base64(struct evbuffer *out, const void *data, size_t len);
/* Compact JSON with one more member, a long base64 text, at its end. */
void reply_append_picture(struct evbuffer *out, json_t *value, const char *member,
			  const void *png, size_t len);

#endif
