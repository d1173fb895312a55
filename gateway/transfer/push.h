#ifndef EASEL_GATEWAY_TRANSFER_PUSH_H
#define EASEL_GATEWAY_TRANSFER_PUSH_H

#include "common/name.h"
#include "gateway/transfer/progress.h"
#include "gateway/transfer/transfers.h"

/* A model into a registry: the blobs that it does not have, then the manifest. */
struct push;

/* name: in its existing spelling. What the store lacks is told by done(). */
int push_start(struct transfers *t, const struct model_name *name, bool insecure,
	       const struct transfer_watcher *watcher, void *owner, struct push **ret, struct err *err);
void push_cancel(struct push *p);

#endif
