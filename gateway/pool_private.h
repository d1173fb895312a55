#ifndef EASEL_GATEWAY_POOL_PRIVATE_H
#define EASEL_GATEWAY_POOL_PRIVATE_H

#include "common/timefmt.h"
#include "gateway/pool.h"

/* What pool.c (does) and pool_report.c (tells) share; nobody else includes this. */
struct pool {
	struct gateway *gw;
	struct sched sched;
	struct event *timer;            /* the next keep-alive to end */
	uint64_t last_id;
	bool pumping;
};

/* One model held by one runner, from SCHED_SPAWN until the process is gone. */
struct loaded {
	struct pool *pool;
	struct sched_model *model;
	struct runner *runner;
	struct job *job;                /* the one that is drawn */
	struct job *writing;            /* the one before: drawn, its last picture to come */
	struct job *announced;          /* of these, whose picture comes next */
	int64_t spawned_ns;
	const char *phase;              /* of its drawing: a literal, or NULL */
	int64_t phase_ns, step_ns;      /* when that began, when the last step ended */
	struct event *cancel_timer;
	json_t *manifest, *details;
	char *device;
	uint64_t bytes;                 /* of the weights, before the runner knows better */
	bool is_ready;
	struct msg_ready ready;
	struct err err;                 /* why the load failed */
};

static inline double seconds_since(int64_t ns)
{
	return (double)(time_monotonic_ns() - ns) / 1e9;
}

/* Of its runner, as it says; "" before. */
const char *loaded_device(const struct loaded *l);
/* The runner told this phase of its drawing; NULL: it is done with the last one. */
void loaded_time_phase(struct loaded *l, const char *phase);
/* It told n more denoising steps. */
void loaded_time_steps(struct loaded *l, uint32_t n);

#endif
