#ifndef EASEL_GATEWAY_TRANSFER_DOWNLOAD_H
#define EASEL_GATEWAY_TRANSFER_DOWNLOAD_H

#include "gateway/transfer/registry.h"
#include "gateway/transfer/transfers.h"

/*
 * One blob on its way into the store: attempts until it is whole, verified and renamed.
 * Whoever wants a digest that is on its way already waits for the same download; when
 * the last one leaves it ends, and the partial file stays.
 */
struct waiter;

struct waiter_handler {
	/* err NULL: the blob is there. The waiter is void afterwards. */
	void (*done)(void *owner, const struct err *err);
};

/* damaged: inode of a file in the store that is not what it should be; 0: there is none. */
int download_join(struct transfers *t, struct registry *r, const char *digest, uint64_t size,
		  uint64_t damaged, const struct waiter_handler *handler, void *owner,
		  struct waiter **ret, struct err *err);
void waiter_leave(struct waiter *w);
uint64_t waiter_len(const struct waiter *w);    /* bytes that are there */

#endif
