#ifndef EASEL_GATEWAY_TRANSFER_PARTIAL_H
#define EASEL_GATEWAY_TRANSFER_PARTIAL_H

#include <stddef.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/err.h"
#include "common/store.h"
#include "gateway/transfer/disk.h"

/*
 * A blob while it comes in: "sha256-<hex>.tmp" beside it, hashed as it is written. What a
 * dead process left there is hashed from the disk, so the file itself says how far it is.
 * The file is locked: no second process writes it. All calls are made on the event loop,
 * the work is done on the disk's threads; of open, sync and publish one runs at a time.
 */
struct partial;

struct partial_handler {
	/*
	 * What was asked last is done: err NULL, or -EBUSY (another process has the file),
	 * -EBADMSG (publish: the content is another; the file is empty now), else the disk's.
	 */
	void (*done)(void *owner, const struct err *err);
	/* partial_write() may be called again. */
	void (*drained)(void *owner);
};

int partial_create(struct disk *d, struct store *s, const char *digest, uint64_t size,
		   const struct partial_handler *handler, void *owner, struct partial **ret,
		   struct err *err);
void partial_open(struct partial *p);           /* then partial_len() says where to go on */
uint64_t partial_len(const struct partial *p);  /* bytes written and handed over to be */
/* Copies; -EAGAIN takes nothing: wait for drained(); -EIO: the disk failed, partial_sync() tells. */
int partial_write(struct partial *p, const void *data, size_t len);
void partial_restart(struct partial *p);        /* from the first byte */
void partial_sync(struct partial *p);           /* done() once all is written, or why it is not */
/* Synced, checked against digest and size, renamed, on record as verified. */
void partial_publish(struct partial *p);
/* The file stays, for another time. No handler is called any more. NULL is fine. */
void partial_close(struct partial *p);

#endif
