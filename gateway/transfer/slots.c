/*
 * Turns for bodies. Owns the line; runs on the event loop.
 */
#include <errno.h>

#include "gateway/transfer/slots.h"

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct slots *s = arg;
	struct slot *slot;

	(void)fd;
	(void)what;
	while (s->free && (slot = TAILQ_FIRST(&s->line))) {
		TAILQ_REMOVE(&s->line, slot, link);
		slot->waits = false;
		slot->held = true;
		s->free--;
		slot->go(slot->owner);
	}
}

int slots_init(struct slots *s, struct event_base *base, unsigned n, struct err *err)
{
	TAILQ_INIT(&s->line);
	s->free = n;
	s->turn = event_new(base, -1, 0, on_turn, s);
	return s->turn ? 0 : err_set(err, -ENOMEM, "out of memory");
}

void slots_finish(struct slots *s)
{
	if (s->turn)
		event_free(s->turn);
}

void slot_want(struct slots *s, struct slot *slot)
{
	slot->waits = true;
	TAILQ_INSERT_TAIL(&s->line, slot, link);
	event_active(s->turn, EV_TIMEOUT, 0);
}

void slot_leave(struct slots *s, struct slot *slot)
{
	if (slot->waits)
		TAILQ_REMOVE(&s->line, slot, link);
	if (slot->held)
		s->free++;
	slot->waits = slot->held = false;
	event_active(s->turn, EV_TIMEOUT, 0);
}
