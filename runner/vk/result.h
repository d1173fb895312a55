#ifndef EASEL_RUNNER_VK_RESULT_H
#define EASEL_RUNNER_VK_RESULT_H

#include <vulkan/vulkan.h>

#include "common/err.h"

/* 0 for VK_SUCCESS, else the matching negative errno with "what: cause" in err. */
int vk_result(VkResult r, const char *what, struct err *err);

#endif
