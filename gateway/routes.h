#ifndef EASEL_GATEWAY_ROUTES_H
#define EASEL_GATEWAY_ROUTES_H

#include "gateway/gateway.h"

/*
 * One row a route. A handler answers with reply_*() or http_reply(), now or later.
 * A path that ends in a star takes all below it.
 */
struct route {
	const char *method, *path;
	void (*handler)(struct gateway *gw, struct http_request *q);
	/* Of a route that takes its body in pieces: makes q->sink and says whether to read. */
	enum http_body (*begin)(struct gateway *gw, struct http_request *q);
};

/* The HTTP server's handler; its ctx is the gateway. */
extern const struct http_handler routes_handler;

void route_root(struct gateway *gw, struct http_request *q);
void route_version(struct gateway *gw, struct http_request *q);
void route_status(struct gateway *gw, struct http_request *q);
void route_tags(struct gateway *gw, struct http_request *q);
void route_ps(struct gateway *gw, struct http_request *q);
void route_show(struct gateway *gw, struct http_request *q);
void route_generate(struct gateway *gw, struct http_request *q);
void route_create(struct gateway *gw, struct http_request *q);
void route_copy(struct gateway *gw, struct http_request *q);
void route_verify(struct gateway *gw, struct http_request *q);
void route_delete(struct gateway *gw, struct http_request *q);
void route_images(struct gateway *gw, struct http_request *q);
void route_edits(struct gateway *gw, struct http_request *q);
void route_pull(struct gateway *gw, struct http_request *q);
void route_push(struct gateway *gw, struct http_request *q);
void route_text(struct gateway *gw, struct http_request *q);
void route_account(struct gateway *gw, struct http_request *q);
void route_recommendations(struct gateway *gw, struct http_request *q);
void route_file(struct gateway *gw, struct http_request *q);
void route_metrics(struct gateway *gw, struct http_request *q);
void route_openapi(struct gateway *gw, struct http_request *q);
void route_livez(struct gateway *gw, struct http_request *q);
void route_readyz(struct gateway *gw, struct http_request *q);
void route_blob(struct gateway *gw, struct http_request *q);
enum http_body blob_begin(struct gateway *gw, struct http_request *q);
int blob_write(struct http_request *q, const void *data, size_t len, struct err *err);
void blob_drop(struct http_request *q);
void route_models(struct gateway *gw, struct http_request *q);
void route_model(struct gateway *gw, struct http_request *q);

#endif
