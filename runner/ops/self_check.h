#ifndef EASEL_RUNNER_OPS_SELF_CHECK_H
#define EASEL_RUNNER_OPS_SELF_CHECK_H

#include "runner/graph/graph.h"

/*
 * Multiplies two small matrices of whole numbers, whose product any precision holds, and
 * compares: drivers are known whose kernels compute something else. -EIO names both numbers.
 */
int kernels_self_check(struct vk *vk, struct kernels kernels, struct err *err);

#endif
