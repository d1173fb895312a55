#ifndef EASEL_RUNNER_VK_TESTING_H
#define EASEL_RUNNER_VK_TESTING_H

#include "runner/vk/vk.h"

/* For tests only: pretends to a device of other limits (only ones that the real device also keeps). */
void vk_limits_override(struct vk *vk, const struct vk_limits *limits);

#endif
