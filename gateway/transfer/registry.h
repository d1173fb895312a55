#ifndef EASEL_GATEWAY_TRANSFER_REGISTRY_H
#define EASEL_GATEWAY_TRANSFER_REGISTRY_H

#include "common/name.h"
#include "gateway/transfer/fetch.h"
#include "gateway/transfer/sites.h"

/*
 * One repository of a registry, as one transfer sees it: its address, what the user said
 * about it, the token. Counted references.
 */
struct registry;

enum registry_use { REGISTRY_PULL, REGISTRY_PUSH };

/* insecure: plain HTTP. Only the name's host, namespace and model count. */
int registry_open(struct fetcher *x, const struct model_name *name, bool insecure,
		  enum registry_use use, struct registry **ret, struct err *err);
struct registry *registry_ref(struct registry *r);
void registry_unref(struct registry *r);        /* NULL is fine */
const struct site *registry_site(const struct registry *r);
/*
 * Whether an error of a call to it will come again: refused by policy or by the registry, or
 * nobody there who ever answered.
 */
bool registry_gives_up(const struct registry *r, const struct err *err);
/* "https://host/v2/ns/model/<rest>"; the caller frees. NULL without memory. */
char *registry_url(const struct registry *r, const char *rest);

/*
 * One request to it, with whatever it takes to be let in: a token is fetched once for all
 * calls that need it; redirects are followed where asked, without the token elsewhere.
 */
struct call;
#define CALL_HEADERS 20

struct call_order {
	const char *method, *url;
	const char *headers[CALL_HEADERS];      /* "Accept: ...", up to the first NULL */
	bool has_body;
	uint64_t body_size;
	bool follow;                    /* redirects */
	bool bare;                      /* no token, whoever it goes to */
};

/* As of struct fetch_handler; -EACCES: not let in. */
struct call_handler {
	bool (*head)(void *owner, struct call *c);
	enum fetch_verdict (*data)(void *owner, const void *data, size_t len);
	ssize_t (*body)(void *owner, uint64_t offset, void *to, size_t max);
	void (*done)(void *owner, struct call *c, const struct err *err);
};

/* done() never comes before this returns. */
int call_start(struct registry *r, const struct call_order *order,
	       const struct call_handler *handler, void *owner, struct call **ret, struct err *err);
void call_cancel(struct call *c);               /* NULL is fine */
void call_resume(struct call *c);

/* Of the answer; in head() and done(). 0, NULL, "" where no answer came. */
long call_status(const struct call *c);
const char *call_header(const struct call *c, const char *name);
void call_each_header(const struct call *c, void (*each)(void *arg, const char *name, const char *value),
		      void *arg);
const char *call_body(const struct call *c, size_t *ret_len);
const char *call_url(const struct call *c);     /* where it came from in the end */
bool call_is_elsewhere(const struct call *c);   /* not from the registry's own host */
int64_t call_retry_after(const struct call *c); /* seconds, -1: not said */

#endif
