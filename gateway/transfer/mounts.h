#ifndef EASEL_GATEWAY_TRANSFER_MOUNTS_H
#define EASEL_GATEWAY_TRANSFER_MOUNTS_H

#include "common/name.h"
#include "common/store.h"
#include "gateway/transfer/image.h"

/*
 * "namespace/model" of a repository on name's host from which each blob of the image may be
 * had without sending it, or NULL: where the manifest says a layer came from, else, if guess,
 * another tag of the store that holds it. One entry a blob. NULL without memory.
 */
char **mounts_find(struct store *s, const struct model_name *name, const struct image *image, bool guess);
void mounts_free(char **mounts, size_t n);

#endif
