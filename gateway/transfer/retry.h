#ifndef EASEL_GATEWAY_TRANSFER_RETRY_H
#define EASEL_GATEWAY_TRANSFER_RETRY_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

#define RETRY_ATTEMPTS 8u               /* without progress */
#define RETRY_AFTER_MAX_S 120           /* what a registry may ask us to wait */

/* Attempts at one thing, and the wait between them. */
struct retry {
	struct event *timer;
	void (*again)(void *owner);
	void *owner;
	int64_t base_ns;                /* first wait; doubles, up to 60 times that */
	unsigned failed;
};

int retry_init(struct retry *r, struct event_base *base, int64_t base_ns,
	       void (*again)(void *owner), void *owner, struct err *err);
void retry_finish(struct retry *r);     /* also of a zeroed one */
/* Calls again() after a while; false when there were enough attempts. after_s < 0: not said. */
bool retry_later(struct retry *r, int64_t after_s);
void retry_progress(struct retry *r);   /* the count begins anew */
/* The n-th wait (from 0), times 0.5 to 1.5 by random in 0..1. */
int64_t retry_wait_ns(int64_t base_ns, unsigned n, double random, int64_t after_s);
/* Another attempt will not be answered otherwise. */
bool retry_is_final(long status);
/* "404: <body>", with the body's white space cut; for messages. */
void retry_describe(long status, const char *body, char *ret, size_t size);

#endif
