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
	KERNELS_TILE,                           /* shaders: operands in tiles of shared memory */
	KERNELS_TILE_F16,                       /* the same with operands in half precision, sums in float32 */
	KERNELS_MATRIX,                         /* the same with a device's matrix units */
	KERNELS_HOST,                           /* code of the host on the device's memory, which is the host's */
	KERNELS_HOST_BF16,                      /* the same with products of bfloat16 */
	KERNELS_HOST_INT8,                      /* the same with products of bytes: faster, and less exact */
	KERNEL_SETS
};

struct kernel_set_row {
	const char *name;                       /* of EASEL_KERNELS */
	enum kernel_set falls_back;
	bool (*runs_on)(const struct vk *vk);
	bool (*chosen_on)(const struct vk *vk); /* where it runs: whether it is worth it; NULL: nowhere, unless named */
	bool checked;                           /* tried on a product with a known result before it is used */
	const char *needs;                      /* what a device is without when it cannot */
	double error;                           /* relative RMS of one op against exact sums, at most */
	bool host;                              /* has kernels of the host: needs its threads */
	bool int8_rows;                         /* wants matrices in that form (weights_use_int8_rows()) */
};
/* By enum kernel_set. Of those chosen on a device the last one is the default. */
extern const struct kernel_set_row kernel_sets[KERNEL_SETS];

struct kernels {
	enum kernel_set set;
	struct host_pool *pool;                 /* of a set with host kernels, else NULL */
};
/* The set of this name; NULL or "": the device's default. -EINVAL, -ENOTSUP name what there is. */
int kernels_open(struct vk *vk, const char *name, struct kernels *ret, struct err *err);
void kernels_close(struct kernels *k);

#endif
