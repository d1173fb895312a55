/*
 * NDJSON and server-sent events over chunked answers. Owns nothing; runs on the event
 * loop. What a slow client has not taken yet is bounded for progress, never for results.
 */
#include <string.h>

#include "gateway/reply.h"
#include "gateway/stream.h"

#define BACKLOG_MAX (1u << 20)

bool stream_is_slow(const struct http_request *q)
{
	return http_backlog(q) > BACKLOG_MAX;
}

void stream_raw_line(struct http_request *q, struct evbuffer *line)
{
	if (!http_streaming(q))
		http_stream_begin(q, 200, "application/x-ndjson");
	evbuffer_add(line, "\n", 1);
	http_stream_write(q, line);
}

void stream_line(struct http_request *q, json_t *line)
{
	struct evbuffer *text = evbuffer_new();

	reply_append_json(text, line);
	stream_raw_line(q, text);
	evbuffer_free(text);
}

void stream_progress_line(struct http_request *q, json_t *line)
{
	if (stream_is_slow(q))
		json_decref(line);
	else
		stream_line(q, line);
}

static void begin_events(struct http_request *q)
{
	http_add_header(q, "Cache-Control", "no-cache");
	if (http_keeps_alive(q))
		http_add_header(q, "Connection", "keep-alive");
	http_stream_begin(q, 200, "text/event-stream");
}

void stream_event(struct http_request *q, const char *name, struct evbuffer *data)
{
	struct evbuffer *event = evbuffer_new();

	if (!http_streaming(q))
		begin_events(q);
	evbuffer_add_printf(event, "event: %s\ndata: ", name);
	evbuffer_add_buffer(event, data);
	evbuffer_add(event, "\n\n", 2);
	http_stream_write(q, event);
	evbuffer_free(event);
}

void stream_comment(struct http_request *q, const char *text)
{
	struct evbuffer *line;

	if (stream_is_slow(q))
		return;
	line = evbuffer_new();
	if (!http_streaming(q))
		begin_events(q);
	evbuffer_add_printf(line, ": %s\n\n", text);
	http_stream_write(q, line);
	evbuffer_free(line);
}

void stream_progress_event(struct http_request *q, const char *name, json_t *data)
{
	struct evbuffer *text = stream_is_slow(q) ? NULL : evbuffer_new();

	if (!text) {
		json_decref(data);
		return;
	}
	reply_append_json(text, data);
	stream_event(q, name, text);
	evbuffer_free(text);
}
