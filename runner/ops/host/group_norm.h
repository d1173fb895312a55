#ifndef EASEL_RUNNER_OPS_HOST_GROUP_NORM_H
#define EASEL_RUNNER_OPS_HOST_GROUP_NORM_H

#include <stdbool.h>

#include "runner/graph/host_call.h"

/* y = (x - mean) * factor + bias per channel, then silu if asked. */
struct host_group_norm {
	const float *mean, *factor, *bias;
};

/*
 * From the statistics [2, channels] and the node's weights `weight` and the one behind it;
 * lives in the thread's scratch slot. False: the run has failed.
 */
bool host_group_norm_load(const struct host_call *c, struct host_worker *w, const float *stats, unsigned weight,
			  unsigned slot, struct host_group_norm *ret);
void host_group_norm_row(const struct host_group_norm *a, bool silu, const float *x, float *y, uint32_t n);

#endif
