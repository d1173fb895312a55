#ifndef EASEL_GATEWAY_TRANSFER_SLOTS_H
#define EASEL_GATEWAY_TRANSFER_SLOTS_H

#include <event2/event.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "common/err.h"

/* How many blobs move at the same time; the others wait in line. */
struct slot {
	void (*go)(void *owner);        /* it is your turn; never from inside slot_want() */
	void *owner;
	bool waits, held;
	TAILQ_ENTRY(slot) link;
};

struct slots {
	TAILQ_HEAD(, slot) line;
	unsigned free;
	struct event *turn;
};

int slots_init(struct slots *s, struct event_base *base, unsigned n, struct err *err);
void slots_finish(struct slots *s);
void slot_want(struct slots *s, struct slot *slot);
void slot_leave(struct slots *s, struct slot *slot);    /* also when neither waiting nor holding */

#endif
