#ifndef EASEL_GATEWAY_TRANSFER_TRANSFERS_H
#define EASEL_GATEWAY_TRANSFER_TRANSFERS_H

#include <sys/queue.h>

#include "common/store.h"
#include "gateway/transfer/disk.h"
#include "gateway/transfer/fetch.h"
#include "gateway/transfer/slots.h"

struct download;

/* What all pulls and pushes of this process share. */
struct transfers {
	struct event_base *base;
	struct fetcher *fetcher;
	struct disk *disk;
	struct strand tags;             /* copies and deletes: one at a time, as who frees needs the store alone */
	struct slots slots;
	LIST_HEAD(, download) downloads;        /* one a digest */
	int64_t retry_ns;               /* first wait before another attempt */
	int64_t client_stall_ns;        /* with a client that reads nothing of its lines */
	struct store *store;            /* for paths; who pins blobs opens it anew */
};

/* Settings: MAX_TRANSFER_STREAMS, TRANSFER_STALL, TRANSFER_RATE, CLIENT_STALL. store must outlive it. */
int transfers_create(struct event_base *base, struct store *store, struct transfers **ret, struct err *err);
/* Pulls and pushes must be cancelled by then. NULL is fine. */
void transfers_destroy(struct transfers *t);

#endif
