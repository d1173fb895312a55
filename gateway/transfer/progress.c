/*
 * Lines about a transfer. Owns a timer; runs on the event loop.
 */
#include <errno.h>

#include "gateway/transfer/progress.h"

#define DIGEST "sha256:model"           /* of one bar over all blobs */
static const struct timeval interval = { .tv_usec = 100000 };

static void tell(struct progress_lines *p)
{
	json_t *line = json_pack("{s:s, s:s}", "status", p->status, "digest", p->digest ? p->digest : DIGEST);

	if (p->total)
		json_object_set_new(line, "total", json_integer((json_int_t)p->total));
	if (p->told)
		json_object_set_new(line, "completed", json_integer((json_int_t)p->told));
	p->watcher->line(p->owner, line);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct progress_lines *p = arg;
	uint64_t count = p->count(p->transfer);

	(void)fd;
	(void)what;
	if (count > p->total)
		count = p->total;
	evtimer_add(p->timer, &interval);
	if (count <= p->told)
		return;
	p->told = count;
	tell(p);
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
	p->timer = NULL;
}

void progress_lines_status(struct progress_lines *p, const char *status)
{
	p->watcher->line(p->owner, json_pack("{s:s}", "status", status));
}

void progress_lines_begin(struct progress_lines *p)
{
	p->told = p->count(p->transfer);
	tell(p);
	evtimer_add(p->timer, &interval);
}

void progress_lines_end(struct progress_lines *p)
{
	evtimer_del(p->timer);
	if (p->told == p->total)
		return;
	p->told = p->total;
	tell(p);
}
