#ifndef EASEL_RUNNER_IMPORT_BLOB_H
#define EASEL_RUNNER_IMPORT_BLOB_H

#include "common/digest.h"
#include "common/err.h"
#include "common/store.h"
#include "runner/import/plan.h"

/* Where a blob's bytes go: into the store, or only into its digest. */
struct sink {
	struct blob_writer *writer;             /* or NULL */
	struct digest *digest;
};

/* Bytes that were read; < 0, the error filled in, ends the work. */
typedef int (*blob_progress)(void *context, uint64_t bytes, struct err *err);

/* The blob of a planned tensor. One thread each; the plan and the store are only read. */
int blob_put(const struct store *s, const struct plan *p, const struct plan_tensor *t, const struct sink *to,
	     blob_progress progress, void *context, struct err *err);
/* The bytes it will have. */
int blob_size(const struct plan_tensor *t, uint64_t *ret, struct err *err);

#endif
