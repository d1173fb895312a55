#ifndef EASEL_GATEWAY_HTTP_CONN_H
#define EASEL_GATEWAY_HTTP_CONN_H

#include <sys/queue.h>

#include <event2/bufferevent.h>
#include <http_parser.h>

#include "common/buf.h"
#include "gateway/http.h"

/* What http.c (reading) and http_reply.c (writing) share; nobody else includes this. */
enum conn_state {
	CONN_READING,                   /* head or body still to come */
	CONN_ANSWERING,                 /* the handlers have the request */
	CONN_FLUSHING,                  /* last bytes on their way out, then close */
	CONN_LINGERING,                 /* closed our way; dropping what the client still sends */
};

struct http_conn {
	struct http_request q;
	LIST_ENTRY(http_conn) link;
	struct http_server *server;
	struct bufferevent *bev;
	http_parser parser;
	enum conn_state state;
	bool parsing;                   /* inside conn_parse() */
	int64_t patience_ns;            /* with a client that takes nothing */

	/* of the request being read or answered */
	struct buf url, head, body;     /* head: name NUL value NUL ... */
	size_t held;                    /* of the body, counted among the server's */
	struct buf reply_head;          /* header lines added by handlers */
	bool in_value;                  /* the parser's last piece was a header value */
	bool head_done, complete;
	bool early;                     /* to be answered without its body */
	bool keep_alive, chunked;
	enum http_body body_mode;
	struct err refused;             /* why reading stopped; code 0: it did not */
	int status;                     /* sent; 0: nothing yet */
	size_t lingered;
	void (*gone)(void *owner);
	void *owner;
};

static inline struct http_conn *conn_of(const struct http_request *q)
{
	return (struct http_conn *)(uintptr_t)q;        /* q is its first member */
}

/* http.c: the answer is complete; the connection goes on or ends. */
void conn_answered(struct http_conn *c);

#endif
