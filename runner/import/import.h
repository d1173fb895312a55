#ifndef EASEL_RUNNER_IMPORT_IMPORT_H
#define EASEL_RUNNER_IMPORT_IMPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/err.h"
#include "common/proto.h"

/* Making a model of the store from a folder or from another model. Blocks; no GPU. */
struct import_hooks {
	void *context;                          /* called by one thread at a time, not always the same */
	/* Asked between tensors and every few MB; true ends the import with -ECANCELED. */
	bool (*cancelled)(void *context);
	/* A line for the user; the strings live only during the call. */
	void (*status)(void *context, const struct msg_status *status);
};

struct import_result {
	char digest[DIGEST_SIZE];               /* of the manifest */
	uint64_t layers;
};

/*
 * Everything is checked before anything is written; then blobs, and last the tag. On
 * failure the old tag stands, temporaries are gone, and new blobs are freed again
 * (a cancelled import keeps them, so that the next one finds them).
 * -EINVAL for a wrong request or source, -ENOENT for an unknown source model, -ENOSPC
 * with needed and free bytes, -ECANCELED.
 */
int import_run(const struct msg_import *request, const struct import_hooks *hooks,
	       struct import_result *ret, struct err *err);

/* The whole life of "easel-runner --import" on a socket to the gateway; the exit status. */
int import_serve(int fd);

#endif
