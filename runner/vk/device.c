/*
 * Opens one device with its compute queue, and lists those there are. Owns struct vk;
 * all calls come from the one GPU thread.
 */
#include "runner/vk/device.h"

#include <errno.h>
#include <stdlib.h>

#include "runner/vk/matrix.h"
#include "runner/vk/result.h"
#include "runner/vk/select.h"
#include "runner/vk/testing.h"

enum { MAX_EXTENSIONS = 5 };

static int probe_list(struct instance *i, struct probe **ret, size_t *ret_n, struct err *err)
{
	int r = instance_open(i, err);

	return r < 0 ? r : probe_all(i->handle, ret, ret_n, err);
}

int vk_list(struct vk_device_info **ret, size_t *ret_n, struct err *err)
{
	struct instance instance = { 0 };
	struct probe *list = NULL;
	struct vk_device_info *infos;
	size_t n = 0;
	int r = probe_list(&instance, &list, &n, err);

	if (r < 0)
		goto out;
	infos = calloc(n + 1, sizeof *infos);
	if (!infos) {
		r = err_set(err, -ENOMEM, "Vulkan devices: out of memory");
		goto out;
	}
	for (size_t i = 0; i < n; i++)
		infos[i] = list[i].info;
	*ret = infos;
	*ret_n = n;
out:
	free(list);
	instance_close(&instance);
	return r;
}

static uint32_t wanted_extensions(const struct probe *p, const char **names)
{
	uint32_t n = 0;

	names[n++] = VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME;
	if (p->import_align)
		names[n++] = VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME;
	if (p->fixed_subgroup)
		names[n++] = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME;
	if (p->limits.matrix.m)
		names[n++] = matrix_extension;
	return n;
}

static int logical_device(struct vk *vk, struct err *err)
{
	const struct probe *p = &vk->probe;
	const char *names[MAX_EXTENSIONS];
	const float priority = 1;
	VkPhysicalDeviceSubgroupSizeControlFeaturesEXT subgroup = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT,
		.subgroupSizeControl = p->fixed_subgroup,
		.computeFullSubgroups = p->full_subgroups,
	};
	/* A wrong index must not reach other memory; every Vulkan device has this feature. */
	const VkPhysicalDeviceFeatures features = { .robustBufferAccess = VK_TRUE };
	struct matrix_features matrix;
	void *chain = p->fixed_subgroup ? &subgroup : NULL;
	const VkDeviceQueueCreateInfo queue = {
		.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
		.queueFamilyIndex = p->queue_family,
		.queueCount = 1,
		.pQueuePriorities = &priority,
	};
	const VkDeviceCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
		.pNext = p->limits.matrix.m ? matrix_features_chain(&matrix, chain) : chain,
		.queueCreateInfoCount = 1,
		.pQueueCreateInfos = &queue,
		.enabledExtensionCount = wanted_extensions(p, names),
		.ppEnabledExtensionNames = names,
		.pEnabledFeatures = &features,
	};

	return vk_result(vkCreateDevice(p->physical, &info, NULL, &vk->device), p->info.name, err);
}

static int entry_points(struct vk *vk, struct err *err)
{
	vk->push_descriptors = (PFN_vkCmdPushDescriptorSetKHR)
		vkGetDeviceProcAddr(vk->device, "vkCmdPushDescriptorSetKHR");
	if (vk->probe.import_align)
		vk->host_pointer_properties = (PFN_vkGetMemoryHostPointerPropertiesEXT)
			vkGetDeviceProcAddr(vk->device, "vkGetMemoryHostPointerPropertiesEXT");
	if (!vk->push_descriptors)
		return err_set(err, -ENOTSUP, "%s: the driver lacks vkCmdPushDescriptorSetKHR", vk->probe.info.name);
	return 0;
}

static int queue_objects(struct vk *vk, struct err *err)
{
	const VkCommandPoolCreateInfo pool = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
		.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
		.queueFamilyIndex = vk->probe.queue_family,
	};
	const VkFenceCreateInfo fence = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
	int r;

	vkGetDeviceQueue(vk->device, vk->probe.queue_family, 0, &vk->queue);
	vkGetPhysicalDeviceMemoryProperties(vk->probe.physical, &vk->memory);
	r = vk_result(vkCreateCommandPool(vk->device, &pool, NULL, &vk->pool), "command pool", err);
	if (r < 0)
		return r;
	return vk_result(vkCreateFence(vk->device, &fence, NULL, &vk->fence), "fence", err);
}

static int select_device(struct vk *vk, const char *selector, struct err *err)
{
	struct probe *list = NULL;
	const struct probe *found = NULL;
	size_t n = 0;
	int r = probe_list(&vk->instance, &list, &n, err);

	if (r == 0)
		r = device_select(list, n, selector, &found, err);
	if (r == 0)
		vk->probe = *found;
	free(list);
	return r;
}

int vk_open(const char *selector, struct vk **ret, struct err *err)
{
	struct vk *vk = calloc(1, sizeof *vk);
	int r;

	if (!vk)
		return err_set(err, -ENOMEM, "Vulkan device: out of memory");
	if ((r = select_device(vk, selector, err)) < 0 ||
	    (r = logical_device(vk, err)) < 0 ||
	    (r = entry_points(vk, err)) < 0 ||
	    (r = queue_objects(vk, err)) < 0 ||
	    (r = pipelines_init(vk, err)) < 0) {
		vk_close(&vk);
		return r;
	}
	cache_open(vk);
	*ret = vk;
	return 0;
}

void vk_close(struct vk **pointer)
{
	struct vk *vk = *pointer;

	*pointer = NULL;
	if (!vk)
		return;
	if (vk->device) {
		vkDeviceWaitIdle(vk->device);
		upload_finish(vk);
		pipelines_finish(vk);
		cache_finish(vk);
		vkDestroyFence(vk->device, vk->fence, NULL);
		vkDestroyCommandPool(vk->device, vk->pool, NULL);
		vkDestroyDevice(vk->device, NULL);
	}
	instance_close(&vk->instance);
	free(vk);
}

const struct vk_device_info *vk_info(const struct vk *vk)
{
	return &vk->probe.info;
}

const struct vk_limits *vk_limits(const struct vk *vk)
{
	return &vk->probe.limits;
}

void vk_limits_override(struct vk *vk, const struct vk_limits *limits)
{
	vk->probe.limits = *limits;
}

void vk_kernels_save(struct vk *vk)
{
	cache_save(vk);
}

unsigned vk_validation_messages(const struct vk *vk)
{
	return atomic_load(&vk->instance.messages);
}
