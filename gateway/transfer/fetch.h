#ifndef EASEL_GATEWAY_TRANSFER_FETCH_H
#define EASEL_GATEWAY_TRANSFER_FETCH_H

#include <curl/curl.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

/*
 * HTTP requests by libcurl on the event loop: one request, one answer; redirects, tokens
 * and retries are others' business. A connection on which nothing moves is closed.
 */
struct fetcher;
struct fetch;

/* What is waited for, and how long. */
struct fetch_limits {
	int64_t stall_ns;               /* without a byte; connecting 1.5, a first byte 3 times that */
	uint64_t rate;                  /* bytes/s of all requests together, both ways; 0: any */
};

enum fetch_verdict { FETCH_ON, FETCH_PAUSE, FETCH_STOP };

/* Calls come from inside libcurl but for done(): they must not begin or cancel requests. */
struct fetch_handler {
	/* Status and headers are there; true: data() takes the body, else it is collected. */
	bool (*head)(void *owner, struct fetch *f);
	enum fetch_verdict (*data)(void *owner, const void *data, size_t len);
	/* Bytes of the request's body from offset on; below 0 ends the request. */
	ssize_t (*body)(void *owner, uint64_t offset, void *to, size_t max);
	/*
	 * The end, f is void afterwards. err NULL: a whole answer; -EPERM: refused by policy;
	 * -ECONNREFUSED, -EHOSTUNREACH: nobody there, or not who it should be; -EIO anything else.
	 */
	void (*done)(void *owner, struct fetch *f, const struct err *err);
};

enum fetch_reach {
	FETCH_ANYWHERE,
	FETCH_PUBLIC,                   /* never to this machine or its network */
	FETCH_PRIVATE,                  /* only there, and by no proxy */
};

struct fetch_order {
	const char *method, *url;
	struct curl_slist *headers;     /* taken over, also on error */
	bool has_body;
	uint64_t body_size;
	enum fetch_reach reach;
};

int fetcher_create(struct event_base *base, const struct fetch_limits *limits,
		   struct fetcher **ret, struct err *err);
void fetcher_destroy(struct fetcher *x);        /* no request may be open; NULL is fine */

int fetch_start(struct fetcher *x, const struct fetch_order *order,
		const struct fetch_handler *handler, void *owner, struct fetch **ret,
		struct err *err);
void fetch_cancel(struct fetch *f);             /* no handler is called any more */
void fetch_resume(struct fetch *f);             /* after FETCH_PAUSE; else nothing */

long fetch_status(const struct fetch *f);
/* NULL when absent; valid until the next call. */
const char *fetch_header(const struct fetch *f, const char *name);
/* Every header of the answer. */
void fetch_each_header(const struct fetch *f, void (*each)(void *arg, const char *name, const char *value),
		       void *arg);
bool fetch_is_private(const struct fetch *f);   /* whom it talked to is near */
/* What was collected, NUL-terminated, at most FETCH_BODY_MAX bytes; more is an error. */
#define FETCH_BODY_MAX (4u << 20)
const char *fetch_body(const struct fetch *f, size_t *ret_len);

#endif
