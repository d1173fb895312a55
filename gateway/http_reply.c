/*
 * The writing half of HTTP: status lines, exact headers, chunks. Owns nothing; the
 * connection is http.c's. Runs on the event loop and never blocks: libevent sends.
 * Appending to a buffer fails only without memory, which ends the process (main.c).
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gateway/http_conn.h"

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{ 200, "OK" }, { 201, "Created" }, { 204, "No Content" },
	{ 301, "Moved Permanently" }, { 307, "Temporary Redirect" },
	{ 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" },
	{ 404, "Not Found" }, { 405, "Method Not Allowed" }, { 413, "Request Entity Too Large" },
	{ 431, "Request Header Fields Too Large" }, { 499, "Client Closed Request" },
	{ 500, "Internal Server Error" }, { 503, "Service Unavailable" },
	{ 505, "HTTP Version Not Supported" },
};

static const char *reason_of(int status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

static void add_date(struct evbuffer *out)
{
	time_t now = time(NULL);
	struct tm tm;
	char text[64];

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	evbuffer_add_printf(out, "Date: %s\r\n", text);
}

static bool is_http_1_0(const struct http_conn *c)
{
	return c->parser.http_major == 1 && c->parser.http_minor == 0;
}

static void add_connection(struct http_conn *c, struct evbuffer *out)
{
	if (!c->keep_alive)
		evbuffer_add_printf(out, "Connection: close\r\n");
	else if (is_http_1_0(c))
		evbuffer_add_printf(out, "Connection: keep-alive\r\n");
}

/* Everything up to the header that says how long the body is. */
static struct evbuffer *begin_head(struct http_conn *c, int status, const char *type)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);

	/* What was not read yet would be taken for the next request. */
	if (!c->complete)
		c->keep_alive = false;
	c->status = status;
	evbuffer_add_printf(out, "HTTP/1.%d %d %s\r\n", is_http_1_0(c) ? 0 : 1, status,
			    reason_of(status));
	if (type)
		evbuffer_add_printf(out, "Content-Type: %s\r\n", type);
	if (c->reply_head.len)
		evbuffer_add(out, c->reply_head.data, c->reply_head.len);
	evbuffer_add_printf(out, "X-Request-Id: %s\r\n", c->q.id);
	add_date(out);
	add_connection(c, out);
	return out;
}

void http_add_header(struct http_request *q, const char *name, const char *value)
{
	buf_printf(&conn_of(q)->reply_head, "%s: %s\r\n", name, value);
}

static bool has_body(const struct http_conn *c, int status)
{
	return strcmp(c->q.method, "HEAD") && status != 204;
}

void http_reply(struct http_request *q, int status, const char *type, struct evbuffer *body)
{
	struct http_conn *c = conn_of(q);
	struct evbuffer *out = begin_head(c, status, type);

	/* HEAD without a body to describe says nothing about one. */
	if (status != 204 && (body || strcmp(c->q.method, "HEAD")))
		evbuffer_add_printf(out, "Content-Length: %zu\r\n",
				    body ? evbuffer_get_length(body) : 0);
	evbuffer_add(out, "\r\n", 2);
	if (body && has_body(c, status))
		evbuffer_add_buffer(out, body);
	conn_answered(c);
}

void http_reply_text(struct http_request *q, int status, const char *type, const char *text)
{
	struct evbuffer *body = evbuffer_new();

	evbuffer_add(body, text, strlen(text));
	http_reply(q, status, type, body);
	evbuffer_free(body);
}

void http_stream_begin(struct http_request *q, int status, const char *type)
{
	struct http_conn *c = conn_of(q);
	struct evbuffer *out;

	/* HTTP/1.0 has no chunks: the end of the connection ends the body. */
	c->chunked = !is_http_1_0(c);
	if (!c->chunked)
		c->keep_alive = false;
	out = begin_head(c, status, type);
	if (c->chunked)
		evbuffer_add_printf(out, "Transfer-Encoding: chunked\r\n");
	evbuffer_add(out, "\r\n", 2);
}

void http_stream_write(struct http_request *q, struct evbuffer *data)
{
	struct http_conn *c = conn_of(q);
	struct evbuffer *out = bufferevent_get_output(c->bev);
	size_t len = evbuffer_get_length(data);

	if (!len)
		return;
	if (c->chunked)
		evbuffer_add_printf(out, "%zx\r\n", len);
	evbuffer_add_buffer(out, data);
	if (c->chunked)
		evbuffer_add(out, "\r\n", 2);
}

void http_stream_end(struct http_request *q)
{
	struct http_conn *c = conn_of(q);

	if (c->chunked)
		evbuffer_add(bufferevent_get_output(c->bev), "0\r\n\r\n", 5);
	conn_answered(c);
}

bool http_streaming(const struct http_request *q)
{
	return conn_of(q)->status != 0;
}

bool http_keeps_alive(const struct http_request *q)
{
	return conn_of(q)->keep_alive && !is_http_1_0(conn_of(q));
}

size_t http_backlog(const struct http_request *q)
{
	return evbuffer_get_length(bufferevent_get_output(conn_of(q)->bev));
}
