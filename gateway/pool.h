#ifndef EASEL_GATEWAY_POOL_H
#define EASEL_GATEWAY_POOL_H

#include <jansson.h>

#include "gateway/gateway.h"
#include "gateway/job.h"

/* The models in memory: does what sched decides, with runners. */
struct pool;

struct pool_limits {
	unsigned max_loaded;
	size_t max_queue;
	int64_t keep_alive_ns;
};

int pool_create(struct gateway *gw, const struct pool_limits *limits, struct pool **ret,
		struct err *err);
void pool_destroy(struct pool *pool);
void pool_set_max_loaded(struct pool *pool, unsigned max_loaded);

/*
 * Takes the job over, also on error (-EBUSY), when nothing was told to its client.
 * keep_alive_ns NULL: no change.
 */
int pool_submit(struct pool *pool, struct job *job, const int64_t *keep_alive_ns, struct err *err);
/* Unloads when idle: by digest of the manifest, by short name, or both; either may be NULL. */
void pool_unload(struct pool *pool, const char *digest, const char *name,
		 const char *except_digest);
/* The "models" array of ps: latest expiry first. Asks nobody, waits for nobody. */
json_t *pool_list(const struct pool *pool);
/* Sets the gauges of queue and memory. */
void pool_measure(struct pool *pool);

#endif
