#ifndef EASEL_GATEWAY_TRANSFER_IMAGE_H
#define EASEL_GATEWAY_TRANSFER_IMAGE_H

#include "common/manifest.h"

/* A manifest as transfers see it: blobs, each once. */
struct image_blob {
	char digest[DIGEST_SIZE];
	uint64_t size;
	unsigned copies;                /* how often the manifest names it */
	const char *from;               /* short name of the model it came from, or NULL; the manifest's */
};

struct image {
	struct manifest *manifest;
	struct image_blob *blobs;       /* largest first */
	size_t n_blobs;
	uint64_t total;                 /* of all, duplicates too */
};

#define IMAGE_MANIFEST_MAX (4u << 20)

/*
 * Checks what a registry has sent: JSON, schema 2, at least one layer, digests, sizes,
 * names. -EBADMSG.
 */
int image_parse(const char *bytes, size_t len, struct image *ret, struct err *err);
/* The same of a manifest of the store's, which it takes over, also on error. */
int image_make(struct manifest *m, struct image *ret, struct err *err);
void image_clear(struct image *i);
/* Their order, of two struct image_blob. */
int image_blob_compare(const void *a, const void *b);

#endif
