#ifndef EASEL_RUNNER_VK_UPLOAD_H
#define EASEL_RUNNER_VK_UPLOAD_H

#include <stdbool.h>
#include <vulkan/vulkan.h>

#include "runner/vk/vk.h"

/* One part of the staging ring: filled by the host while the other is copied. */
struct upload_slot {
	struct vk_buffer *staging;
	VkCommandBuffer commands;
	VkFence fence;
	bool busy;                              /* submitted, fence not waited for */
};
enum { UPLOAD_SLOTS = 2 };
struct upload {
	struct upload_slot slots[UPLOAD_SLOTS];
	unsigned next;
};

/* Frees the ring; the device is idle. */
void upload_finish(struct vk *vk);

#endif
