#ifndef EASEL_RUNNER_VK_PROBE_H
#define EASEL_RUNNER_VK_PROBE_H

#include <vulkan/vulkan.h>

#include "runner/vk/vk.h"

/* What one physical device is and can do, before it is opened. */
struct probe {
	VkPhysicalDevice physical;
	struct vk_device_info info;
	struct vk_limits limits;
	uint32_t queue_family;                  /* the compute queue's */
	uint32_t max_groups[3];
	uint64_t import_align;                  /* of host pointers; 0: cannot import */
	bool fixed_subgroup;                    /* pipelines can require limits.subgroup_size */
	bool full_subgroups;                    /* and that every lane is there */
};

/* All devices in the driver's order, cut down to GGML_VK_VISIBLE_DEVICES; *ret is the caller's to free. */
int probe_all(VkInstance instance, struct probe **ret, size_t *ret_n, struct err *err);

#endif
