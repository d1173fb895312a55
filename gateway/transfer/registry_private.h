#ifndef EASEL_GATEWAY_TRANSFER_REGISTRY_PRIVATE_H
#define EASEL_GATEWAY_TRANSFER_REGISTRY_PRIVATE_H

#include <sys/queue.h>

#include "gateway/transfer/registry.h"
#include "gateway/transfer/url.h"

/* What registry.c (calls) and access.c (being let in) share; nobody else includes this. */
struct call {
	TAILQ_ENTRY(call) link;         /* among those waiting for a token */
	struct registry *registry;
	const struct call_handler *handler;
	void *owner;
	struct fetch *fetch;
	struct call_order order;        /* strings are owned */
	unsigned token_number;          /* what it was sent with */
	unsigned n_refused, n_asked, n_redirects;
	bool waits;
};

struct registry {
	unsigned refs;
	struct fetcher *fetcher;
	json_t *sites;
	struct site site;
	enum registry_use use;
	char host[360], base[384], repository[200], origin[URL_ORIGIN_SIZE];
	bool plain, near, answered;
	char *authorization;            /* "Authorization: Bearer ...", or NULL */
	unsigned token_number;
	struct fetch *token_fetch;
	TAILQ_HEAD(, call) waiting;
};

/* Sends a call again once there is a token, or fails it; its answer is a 401. */
void access_ask(struct call *c);
void access_leave(struct call *c);

int call_send(struct call *c, struct err *err);
void call_finish(struct call *c, const struct err *err);        /* c is void afterwards */

#endif
