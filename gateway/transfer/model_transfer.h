#ifndef EASEL_GATEWAY_TRANSFER_MODEL_TRANSFER_H
#define EASEL_GATEWAY_TRANSFER_MODEL_TRANSFER_H

#include "common/name.h"
#include "common/store.h"
#include "gateway/transfer/image.h"
#include "gateway/transfer/progress.h"
#include "gateway/transfer/registry.h"
#include "gateway/transfer/retry.h"
#include "gateway/transfer/transfers.h"

/* What a pull and a push of a model have alike, and what of it they differ in. */
struct model_transfer_kind {
	const char *first_status;       /* "pulling manifest" */
	const char *bar_status;         /* "pulling model" */
	enum registry_use use;
	void (*go)(void *owner);        /* the first turn, and each after a retry_later() */
	uint64_t (*count)(void *owner); /* bytes that are there */
};

struct model_transfer {
	struct transfers *all;
	struct store *store;            /* its own, held by the first job until the end */
	struct model_name name;
	struct registry *registry;
	struct progress_lines lines;
	struct retry retry;             /* of requests for the manifest */
	struct call *call;              /* such a one */
	char *manifest;
	size_t manifest_len;
	struct image image;
	unsigned n_jobs;                /* of the disk, under way */
	_Atomic bool stop;              /* cancelled, but the disk is still busy */
	struct strand strand;
	struct disk_job job;
	int result;                     /* of the job; what it failed with */
	struct err err;
};

/*
 * Sends the first line and arranges for go() to come from the loop. owner: of kind's
 * functions. After an error there is nothing to close.
 */
int model_transfer_open(struct model_transfer *m, struct transfers *t, const struct model_name *name,
			bool insecure, const struct model_transfer_kind *kind, void *owner,
			const struct transfer_watcher *watcher, void *watcher_owner, struct err *err);
void model_transfer_close(struct model_transfer *m);
/* run(owner) on the disk's threads, which sets result and err; then done(owner). One at a time. */
void model_transfer_post(struct model_transfer *m, void (*run)(void *owner), void (*done)(void *owner), void *owner);
/*
 * Nobody is told anything any more; false while the disk is busy: free it when a done()
 * comes and model_transfer_took() says no.
 */
bool model_transfer_cancel(struct model_transfer *m);
/* For each done(): whether it goes on. */
bool model_transfer_took(struct model_transfer *m);
/* A request about the manifest; the address is added to order. */
int model_transfer_call(struct model_transfer *m, struct call_order order, const struct call_handler *handler,
			void *owner, struct err *err);

#endif
