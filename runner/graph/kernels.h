#ifndef EASEL_RUNNER_GRAPH_KERNELS_H
#define EASEL_RUNNER_GRAPH_KERNELS_H

#include <stdbool.h>

#include "common/err.h"
#include "runner/host/pool.h"
#include "runner/vk/vk.h"

/*
 * Which kernels a graph is made of. Every op has a shader in KERNELS_SHUFFLE; a set
 * without a kernel of its own for an op takes the one of the set it falls back to.
 */
enum kernel_set {
	KERNELS_SHUFFLE,                        /* shaders: texel fetches, values handed round by shuffles */
	KERNELS_HOST,                           /* code of the host on the device's memory, which is the host's */
	KERNEL_SETS
};

struct kernel_set_row {
	const char *name;                       /* of EASEL_KERNELS */
	enum kernel_set falls_back;
	bool (*runs_on)(const struct vk *vk);
	const char *needs;                      /* what a device is without when it cannot */
	double error;                           /* relative RMS of one op against exact sums, at most */
};
/* By enum kernel_set. Of those that run on a device the last one is the default. */
extern const struct kernel_set_row kernel_sets[KERNEL_SETS];

struct kernels {
	enum kernel_set set;
	struct host_pool *pool;                 /* KERNELS_HOST, else NULL */
};
/* The set of this name; NULL or "": the device's default. -EINVAL, -ENOTSUP name what there is. */
int kernels_open(struct vk *vk, const char *name, struct kernels *ret, struct err *err);
void kernels_close(struct kernels *k);

#endif
