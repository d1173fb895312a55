#ifndef EASEL_RUNNER_HOST_POOL_H
#define EASEL_RUNNER_HOST_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/*
 * Threads for host kernels. One thread owns the pool and takes part in its work; the
 * others sleep between jobs. What fails or is cancelled ends the jobs of a run: the
 * first error stays until host_pool_begin().
 */
struct host_pool;
struct host_worker;                             /* one of its threads, as a task sees it */

/* That many threads, the caller's among them, or as many as there may be. -ENOMEM. */
int host_pool_create(unsigned threads, struct host_pool **ret, struct err *err);
void host_pool_destroy(struct host_pool **p);
unsigned host_pool_threads(const struct host_pool *p);

/* Asked by the owner's thread between tasks; true ends the run with -ECANCELED. NULL: never. */
typedef bool (*host_cancelled)(void *context);
void host_pool_begin(struct host_pool *p, host_cancelled cancelled, void *context);
/* 0, or the first error since host_pool_begin(). */
int host_pool_end(const struct host_pool *p);

/* Calls task for every i below n, in any order and on any thread; returns when all are done. */
typedef void (*host_task)(const void *job, struct host_worker *w, uint64_t i);
void host_run(struct host_pool *p, uint64_t n, host_task task, const void *job);

/*
 * Memory of this thread until its next call with the same slot, aligned to 64, with
 * undefined contents; it grows and is kept. NULL: the run has failed, return.
 */
enum { HOST_SLOTS = 3 };
void *host_scratch(struct host_worker *w, unsigned slot, size_t bytes);
/* The same between jobs, for what all threads read. */
void *host_shared(struct host_pool *p, unsigned slot, size_t bytes);
void host_pool_fail(struct host_pool *p, int code);
void host_fail(struct host_worker *w, int code);
/* For long tasks, now and then: whether to return early. */
bool host_stopped(struct host_worker *w);

#endif
