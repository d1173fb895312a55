#ifndef EASEL_GATEWAY_TRANSFER_PULL_H
#define EASEL_GATEWAY_TRANSFER_PULL_H

#include "common/name.h"
#include "gateway/transfer/progress.h"
#include "gateway/transfer/transfers.h"

/* A model out of a registry: its manifest, the blobs that are missing or damaged, the tag. */
struct pull;

int pull_start(struct transfers *t, const struct model_name *name, bool insecure,
	       const struct transfer_watcher *watcher, void *owner, struct pull **ret, struct err *err);
/* The client left: what is there already stays. */
void pull_cancel(struct pull *p);
const char *pull_digest(const struct pull *p);  /* of the manifest, once done() came */

#endif
