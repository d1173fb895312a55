#ifndef EASEL_GATEWAY_HTTP_SERVER_H
#define EASEL_GATEWAY_HTTP_SERVER_H

#include <stdbool.h>
#include <sys/queue.h>

#include <event2/listener.h>

#include "gateway/http_conn.h"

/* Shared by http.c and http_listen.c only. */
struct http_server {
	struct event_base *base;
	const struct http_handler *handler;
	void *ctx;
	struct uploads *held;
	struct evconnlistener *listener;
	struct event *accept_retry;
	LIST_HEAD(, http_conn) conns;
	size_t n_conns;
};

/* http.c: accepts on a listening socket, which it then owns. */
void http_server_attach(struct http_server *s, evutil_socket_t fd);

#endif
