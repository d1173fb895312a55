#ifndef EASEL_GATEWAY_TRANSFER_DISK_H
#define EASEL_GATEWAY_TRANSFER_DISK_H

#include <stdbool.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "common/err.h"

/*
 * A few threads for what would make the event loop wait: hashing, writing, syncing.
 * Jobs of one strand run one after the other, in order; strands run side by side.
 */
struct disk;

struct disk_job {
	void (*run)(void *arg);         /* on a disk thread */
	void (*done)(void *arg);        /* then on the event loop; may free the job */
	void *arg;
	STAILQ_ENTRY(disk_job) link;
};

STAILQ_HEAD(disk_jobs, disk_job);

struct strand {
	struct disk_jobs jobs;
	bool scheduled;
	STAILQ_ENTRY(strand) link;
};

int disk_create(struct event_base *base, struct disk **ret, struct err *err);
/* Runs what was posted, done() included, then ends the threads. NULL is fine. */
void disk_destroy(struct disk *d);

void strand_init(struct strand *s);
/* Both are the caller's until done() was called. */
void disk_post(struct disk *d, struct strand *s, struct disk_job *job);

#endif
