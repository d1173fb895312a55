/*
 * When to try again. A retry owns its timer; runs on the event loop.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "gateway/transfer/retry.h"

#define SECOND_NS INT64_C(1000000000)

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct retry *r = arg;

	(void)fd;
	(void)what;
	r->again(r->owner);
}

int retry_init(struct retry *r, struct event_base *base, int64_t base_ns,
	       void (*again)(void *owner), void *owner, struct err *err)
{
	*r = (struct retry){ .again = again, .owner = owner, .base_ns = base_ns };
	r->timer = evtimer_new(base, on_timer, r);
	return r->timer ? 0 : err_set(err, -ENOMEM, "out of memory");
}

void retry_finish(struct retry *r)
{
	if (r->timer)
		event_free(r->timer);
	r->timer = NULL;
}

static double random_fraction(void)
{
	uint32_t bits = UINT32_MAX / 2;

	if (getrandom(&bits, sizeof(bits), GRND_NONBLOCK) < 0)
		bits = UINT32_MAX / 2;
	return (double)bits / UINT32_MAX;
}

int64_t retry_wait_ns(int64_t base_ns, unsigned n, double random, int64_t after_s)
{
	int64_t most_ns = 60 * base_ns, wait_ns = n < 6 ? base_ns << n : most_ns;

	wait_ns = (int64_t)((double)(wait_ns < most_ns ? wait_ns : most_ns) * (0.5 + random));
	if (after_s > RETRY_AFTER_MAX_S)
		after_s = RETRY_AFTER_MAX_S;
	return after_s * SECOND_NS > wait_ns ? after_s * SECOND_NS : wait_ns;
}

bool retry_later(struct retry *r, int64_t after_s)
{
	int64_t wait_ns = retry_wait_ns(r->base_ns, r->failed, random_fraction(), after_s);
	struct timeval wait = { .tv_sec = wait_ns / SECOND_NS, .tv_usec = wait_ns % SECOND_NS / 1000 };

	if (++r->failed >= RETRY_ATTEMPTS)
		return false;
	return evtimer_add(r->timer, &wait) == 0;
}

void retry_progress(struct retry *r)
{
	r->failed = 0;
}

bool retry_is_final(long status)
{
	return status >= 400 && status < 500 && status != 408 && status != 425 && status != 429;
}

void retry_describe(long status, const char *body, char *ret, size_t size)
{
	size_t len;

	while (isspace((unsigned char)*body))
		body++;
	len = strlen(body);
	while (len && isspace((unsigned char)body[len - 1]))
		len--;
	snprintf(ret, size, "%ld: %.*s", status, len < 300 ? (int)len : 300, body);
}
