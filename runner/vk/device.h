#ifndef EASEL_RUNNER_VK_DEVICE_H
#define EASEL_RUNNER_VK_DEVICE_H

#include <vulkan/vulkan.h>

#include "runner/vk/cache.h"
#include "runner/vk/instance.h"
#include "runner/vk/pipeline.h"
#include "runner/vk/probe.h"
#include "runner/vk/upload.h"

/* The insides of struct vk, for the files of this folder. */
struct vk {
	struct instance instance;
	struct probe probe;
	VkDevice device;
	VkQueue queue;
	VkCommandPool pool;
	VkFence fence;                          /* of the one submit in flight */
	bool lost;
	VkPhysicalDeviceMemoryProperties memory;
	struct pipelines pipelines;
	struct cache cache;
	struct upload upload;
	PFN_vkCmdPushDescriptorSetKHR push_descriptors;
	PFN_vkGetMemoryHostPointerPropertiesEXT host_pointer_properties;        /* NULL: cannot import */
};

struct vk_buffer {
	VkBuffer handle;
	VkDeviceMemory memory;
	void *map;                              /* NULL when not mapped */
	const void *pages;                      /* imported ones, else NULL */
	uint64_t size, room;                    /* asked for; with what was added behind it */
};

#endif
