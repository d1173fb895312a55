/*
 * What transfers share. Owns libcurl's loop, the disk's threads and the line of those who
 * wait for their turn; runs on the event loop.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/settings.h"
#include "gateway/transfer/transfers.h"

#define STREAMS 4u
#define STREAMS_MAX 64u
#define STALL_NS (10 * INT64_C(1000000000))
#define CLIENT_STALL_NS (60 * INT64_C(1000000000))
#define CLIENT_STALL_MAX_NS (86400 * INT64_C(1000000000))

int transfers_create(struct event_base *base, struct store *store, struct transfers **ret, struct err *err)
{
	struct transfers *t = calloc(1, sizeof(*t));
	uint64_t streams = settings_u64("MAX_TRANSFER_STREAMS", STREAMS);
	struct fetch_limits limits = {
		.stall_ns = settings_duration_ns("TRANSFER_STALL", STALL_NS),
		.rate = settings_u64("TRANSFER_RATE", 0),
	};
	int r;

	if (!t)
		return err_set(err, -ENOMEM, "out of memory");
	if (limits.stall_ns <= 0 || limits.stall_ns > 360 * STALL_NS)
		limits.stall_ns = STALL_NS;
	streams = streams < 1 ? 1 : streams > STREAMS_MAX ? STREAMS_MAX : streams;
	t->base = base;
	t->store = store;
	t->retry_ns = limits.stall_ns / 20;
	t->client_stall_ns = settings_duration_ns("CLIENT_STALL", CLIENT_STALL_NS);
	if (t->client_stall_ns <= 0 || t->client_stall_ns > CLIENT_STALL_MAX_NS)
		t->client_stall_ns = CLIENT_STALL_MAX_NS;
	LIST_INIT(&t->downloads);
	strand_init(&t->tags);
	r = slots_init(&t->slots, base, (unsigned)streams, err);
	if (r == 0)
		r = fetcher_create(base, &limits, &t->fetcher, err);
	if (r == 0)
		r = disk_create(base, &t->disk, err);
	if (r < 0) {
		transfers_destroy(t);
		return r;
	}
	*ret = t;
	return 0;
}

void transfers_destroy(struct transfers *t)
{
	if (!t)
		return;
	disk_destroy(t->disk);
	fetcher_destroy(t->fetcher);
	slots_finish(&t->slots);
	free(t);
}
