#ifndef EASEL_RUNNER_VK_INSTANCE_H
#define EASEL_RUNNER_VK_INSTANCE_H

#include <stdatomic.h>
#include <vulkan/vulkan.h>

#include "common/err.h"

/* The connection to the loader; must not move while open (the messenger points to it). */
struct instance {
	VkInstance handle;
	VkDebugUtilsMessengerEXT messenger;     /* EASEL_VALIDATION=1 */
	atomic_uint messages;                   /* of the validation layer */
};

/* -ENODEV names the packages to install when there is no driver at all. */
int instance_open(struct instance *i, struct err *err);
void instance_close(struct instance *i);        /* zeroed or half-open is fine */

#endif
