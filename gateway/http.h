#ifndef EASEL_GATEWAY_HTTP_H
#define EASEL_GATEWAY_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "common/err.h"
#include "common/settings.h"
#include "gateway/upload.h"

/*
 * HTTP/1.1 on the event loop. A connection answers one request at a time; what a
 * client pipelines waits in its input buffer. A request lives from http_handler.head
 * until exactly one of: a whole reply, the end of a streamed one, or its client
 * going away. After that the pointer is void.
 */
#define HTTP_ID_SIZE 65
#define HTTP_ADDRESS_SIZE 64

struct http_server;
struct http_request;
struct route;

enum http_body {
	HTTP_BODY_KEEP,                 /* collect it, at most LIMIT_BODY bytes */
	HTTP_BODY_DROP,                 /* read past it, or answer without it when it may stay away */
	HTTP_BODY_STREAM,               /* hand it out as it comes, whatever its length */
};

struct http_handler {
	/* The head is there. */
	enum http_body (*head)(void *ctx, struct http_request *q);
	/* A piece of a HTTP_BODY_STREAM; below 0: refused() with that error. */
	int (*body)(void *ctx, struct http_request *q, const void *data, size_t len,
		    struct err *err);
	/* The body is there too: must be answered, now or later. */
	void (*request)(void *ctx, struct http_request *q);
	/* Instead of request(): nothing more is read, answer err and the connection ends. */
	void (*refused)(void *ctx, struct http_request *q, const struct err *err);
	/* The life of q ends, always: answered with status, or 499 when the client left. */
	void (*done)(void *ctx, struct http_request *q, int status);
};

struct http_request {
	const char *method;             /* "GET" */
	const char *target;             /* path as it came, without the query */
	const char *query;              /* "" or "?..." */
	const char *path;               /* decoded */
	const char *body;               /* NUL-terminated; "" when there is none */
	size_t body_len;
	char peer[HTTP_ADDRESS_SIZE];   /* address without port */
	bool peer_local;                /* the client runs on this machine */
	char id[HTTP_ID_SIZE];
	int64_t began_ns;               /* monotonic */
	const struct route *route;      /* routes.c */
	void *sink;                     /* routes.c: of a route that takes its body in pieces */
	int refusal;                    /* routes.c: status decided by the head alone, or 0 */
};

/* Bodies being collected count among held, which outlives the server. */
int http_server_create(struct event_base *base, const struct http_handler *handler, void *ctx,
		       struct uploads *held, struct http_server **ret);
/* ret_address: "127.0.0.1:11434", "[::]:11434". */
int http_server_listen(struct http_server *s, const struct host *host,
		       char ret_address[HTTP_ADDRESS_SIZE], bool *ret_loopback, struct err *err);
void http_server_destroy(struct http_server *s);        /* drops every connection */
size_t http_connections(const struct http_server *s);

/* The value of a request header, any case; NULL when absent. */
const char *http_header(const struct http_request *q, const char *name);
/*
 * The body, so that it need not live as long as the request; NULL without memory. The
 * reference is the caller's; q has no body from then on. It goes on to count.
 */
struct upload *http_take_body(struct http_request *q);
/* Called once when the client leaves before the answer is complete. */
void http_on_gone(struct http_request *q, void (*gone)(void *owner), void *owner);
/*
 * Counts the client as gone when it takes nothing of what waits for it for so long. Little
 * is left to the kernel then, so that it shows soon. Holds for the connection.
 */
void http_set_patience(struct http_request *q, int64_t ns);
/* One more header of the coming reply; its value must be free of line breaks. */
void http_add_header(struct http_request *q, const char *name, const char *value);
/* Whole reply; body is emptied, type and body may be NULL. */
void http_reply(struct http_request *q, int status, const char *type, struct evbuffer *body);
void http_reply_text(struct http_request *q, int status, const char *type, const char *text);

/* Reply of unknown length: each write is one chunk and is flushed. data is emptied. */
void http_stream_begin(struct http_request *q, int status, const char *type);
void http_stream_write(struct http_request *q, struct evbuffer *data);
void http_stream_end(struct http_request *q);
bool http_streaming(const struct http_request *q);
/* Whether the connection will be kept after a streamed answer. */
bool http_keeps_alive(const struct http_request *q);
/* Bytes that the client has not taken yet. */
size_t http_backlog(const struct http_request *q);

#endif
