#ifndef EASEL_GATEWAY_STREAM_H
#define EASEL_GATEWAY_STREAM_H

#include <jansson.h>

#include "gateway/http.h"

/*
 * Progress to a client, as newline JSON or server-sent events: one chunk each, the
 * headers with the first. Progress that a client does not take is left out rather than
 * piled up.
 */
void stream_line(struct http_request *q, json_t *line);                 /* consumes line */
void stream_progress_line(struct http_request *q, json_t *line);        /* may be left out */
/* data is one line of JSON and is emptied. */
void stream_event(struct http_request *q, const char *name, struct evbuffer *data);
void stream_progress_event(struct http_request *q, const char *name, json_t *data);
/* Its client does not take what it is sent: what is not needed is better not made. */
bool stream_is_slow(const struct http_request *q);
/* A line that clients skip; may be left out. */
void stream_comment(struct http_request *q, const char *text);
/* A prepared line, for those with pictures; begins the stream when needed. */
void stream_raw_line(struct http_request *q, struct evbuffer *line);

#endif
