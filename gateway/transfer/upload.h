#ifndef EASEL_GATEWAY_TRANSFER_UPLOAD_H
#define EASEL_GATEWAY_TRANSFER_UPLOAD_H

#include "gateway/transfer/image.h"
#include "gateway/transfer/registry.h"
#include "gateway/transfer/transfers.h"

/* One blob on its way into a registry: nothing where it is there, mounted, or sent. */
struct blob_upload;

struct blob_upload_handler {
	void (*done)(void *owner, const struct err *err);       /* the upload is void afterwards */
};

/*
 * fd: the blob's file, read while it is sent; the caller's, open until the end.
 * mount_from: repository on the same host that may have it, or NULL.
 */
int blob_upload_start(struct transfers *t, struct registry *r, const struct image_blob *blob, int fd,
		      const char *mount_from, const struct blob_upload_handler *handler, void *owner,
		      struct blob_upload **ret, struct err *err);
void blob_upload_cancel(struct blob_upload *u);
uint64_t blob_upload_len(const struct blob_upload *u);  /* bytes sent; may fall when one fails */

#endif
