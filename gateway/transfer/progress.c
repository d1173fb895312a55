/*
 * Lines about a transfer. Owns a timer; runs on the event loop.
 */
#include <errno.h>

#include "gateway/transfer/progress.h"

#define DIGEST "sha256:model"           /* of one bar over all blobs */
#define INTERVAL_US 100000
static const struct timeval interval = { .tv_usec = INTERVAL_US };

/* Also kept, to be said again. */
static void say(struct progress_lines *p, json_t *line)
{
	json_decref(p->last);
	p->last = json_incref(line);
	p->n_silent = 0;
	p->watcher->line(p->owner, line);
}

static void tell(struct progress_lines *p)
{
	json_t *line = json_pack("{s:s, s:s}", "status", p->status, "digest", p->digest ? p->digest : DIGEST);

	if (p->total)
		json_object_set_new(line, "total", json_integer((json_int_t)p->total));
	if (p->told)
		json_object_set_new(line, "completed", json_integer((json_int_t)p->told));
	say(p, line);
}

static uint64_t count(const struct progress_lines *p)
{
	uint64_t n = p->count(p->transfer);

	return n < p->total ? n : p->total;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct progress_lines *p = arg;
	uint64_t n = p->barred ? count(p) : 0;

	(void)fd;
	(void)what;
	evtimer_add(p->timer, &interval);
	if (n > p->told) {
		p->told = n;
		tell(p);
	} else if (++p->n_silent * INT64_C(1000) * INTERVAL_US >= p->silence_ns) {
		say(p, json_incref(p->last));
	}
}

int progress_lines_init(struct progress_lines *p, struct event_base *base, struct err *err)
{
	p->timer = evtimer_new(base, on_timer, p);
	return p->timer ? 0 : err_set(err, -ENOMEM, "out of memory");
}

void progress_lines_finish(struct progress_lines *p)
{
	if (p->timer)
		event_free(p->timer);
	json_decref(p->last);
	p->timer = NULL;
	p->last = NULL;
}

void progress_lines_status(struct progress_lines *p, const char *status)
{
	say(p, json_pack("{s:s}", "status", status));
	evtimer_add(p->timer, &interval);
}

void progress_lines_begin(struct progress_lines *p)
{
	p->barred = true;
	p->told = count(p);
	tell(p);
}

void progress_lines_end(struct progress_lines *p)
{
	p->barred = false;
	if (p->told == p->total)
		return;
	p->told = p->total;
	tell(p);
}
