/*
 * Looks at physical devices: features, limits, memory, and which required feature is
 * missing. Opens nothing, keeps nothing.
 */
#include "runner/vk/probe.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runner/vk/format.h"
#include "runner/vk/matrix.h"
#include "runner/vk/result.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

enum { SUBGROUP_MIN = 4, SUBGROUP_MAX = 128 };

struct extensions {
	VkExtensionProperties *list;
	uint32_t n;
};

/* Property structs of one device; those of absent extensions stay zero. */
struct properties {
	VkPhysicalDeviceProperties2 core;
	VkPhysicalDeviceVulkan11Properties v11;
	VkPhysicalDeviceVulkan12Properties v12;
	VkPhysicalDevicePushDescriptorPropertiesKHR push;
	VkPhysicalDeviceExternalMemoryHostPropertiesEXT host;
	VkPhysicalDeviceSubgroupSizeControlPropertiesEXT subgroup;
	VkPhysicalDeviceMaintenance4PropertiesKHR maintenance4;
};

static int extensions_get(VkPhysicalDevice d, struct extensions *e, struct err *err)
{
	VkResult r;

	e->list = NULL;
	e->n = 0;
	r = vkEnumerateDeviceExtensionProperties(d, NULL, &e->n, NULL);
	if (r != VK_SUCCESS)
		return vk_result(r, "device extensions", err);
	e->list = calloc(e->n + 1, sizeof *e->list);
	if (!e->list)
		return err_set(err, -ENOMEM, "device extensions: out of memory");
	r = vkEnumerateDeviceExtensionProperties(d, NULL, &e->n, e->list);
	return r == VK_INCOMPLETE ? 0 : vk_result(r, "device extensions", err);
}

static bool extensions_have(const struct extensions *e, const char *name)
{
	for (uint32_t i = 0; i < e->n; i++)
		if (!strcmp(e->list[i].extensionName, name))
			return true;
	return false;
}

/* Puts an output struct in front of the chain, if its extension is there. */
static void chain(VkPhysicalDeviceProperties2 *head, bool present, void *node, VkStructureType type)
{
	VkBaseOutStructure *base = node;

	base->sType = type;
	if (!present)
		return;
	base->pNext = head->pNext;
	head->pNext = base;
}

static void properties_get(VkPhysicalDevice d, const struct extensions *e, bool v12, struct properties *p)
{
	VkPhysicalDeviceProperties2 *head = &p->core;

	memset(p, 0, sizeof *p);
	head->sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
	chain(head, v12, &p->v11, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES);
	chain(head, v12, &p->v12, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES);
	chain(head, extensions_have(e, VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME), &p->push,
	      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PUSH_DESCRIPTOR_PROPERTIES_KHR);
	chain(head, extensions_have(e, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME), &p->host,
	      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT);
	chain(head, extensions_have(e, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME), &p->subgroup,
	      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES_EXT);
	chain(head, extensions_have(e, VK_KHR_MAINTENANCE_4_EXTENSION_NAME), &p->maintenance4,
	      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES_KHR);
	vkGetPhysicalDeviceProperties2(d, head);
}

static enum vk_type type_of(VkPhysicalDeviceType t)
{
	switch (t) {
	case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
		return VK_DISCRETE;
	case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
		return VK_INTEGRATED;
	case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
		return VK_VIRTUAL;
	case VK_PHYSICAL_DEVICE_TYPE_CPU:
		return VK_SOFTWARE;
	default:
		return VK_OTHER;
	}
}

const char *vk_type_name(enum vk_type t)
{
	static const char *const names[] = {
		[VK_DISCRETE] = "discrete", [VK_INTEGRATED] = "integrated", [VK_VIRTUAL] = "virtual",
		[VK_SOFTWARE] = "software", [VK_OTHER] = "other",
	};

	return (unsigned)t < sizeof names / sizeof *names ? names[t] : "other";
}

static bool shares_host_memory(const struct probe *p)
{
	return p->info.type == VK_SOFTWARE || p->info.type == VK_INTEGRATED;
}

/* A line of /proc/meminfo in bytes; 0 when it cannot be read. */
static uint64_t system_memory(const char *key)
{
	char line[128];
	uint64_t kib = 0;
	const size_t len = strlen(key);
	FILE *f = fopen("/proc/meminfo", "re");

	if (!f)
		return 0;
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, key, len) && sscanf(line + len, ": %" SCNu64, &kib) == 1)
			break;
	fclose(f);
	return kib * 1024;
}

/* The largest device-local heap: its size, and by VK_EXT_memory_budget what is free of it. */
static void heap_memory(struct probe *p, bool has_budget)
{
	VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT,
	};
	VkPhysicalDeviceMemoryProperties2 m = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
		.pNext = has_budget ? &budget : NULL,
	};

	vkGetPhysicalDeviceMemoryProperties2(p->physical, &m);
	for (uint32_t i = 0; i < m.memoryProperties.memoryHeapCount; i++) {
		const VkMemoryHeap *heap = &m.memoryProperties.memoryHeaps[i];
		uint64_t available = heap->size;

		if (!(heap->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) || heap->size <= p->info.memory_total)
			continue;
		if (has_budget)
			available = budget.heapBudget[i] > budget.heapUsage[i] ?
				    budget.heapBudget[i] - budget.heapUsage[i] : 0;
		p->info.memory_total = heap->size;
		p->info.memory_available = available;
	}
}

static void memory_get(struct probe *p, bool has_budget, const struct properties *props)
{
	uint64_t heap;

	heap_memory(p, has_budget);
	heap = p->info.memory_total;
	p->limits.buffer_size = heap;
	if (props->v11.maxMemoryAllocationSize && props->v11.maxMemoryAllocationSize < heap)
		p->limits.buffer_size = props->v11.maxMemoryAllocationSize;
	if (props->maintenance4.maxBufferSize && props->maintenance4.maxBufferSize < p->limits.buffer_size)
		p->limits.buffer_size = props->maintenance4.maxBufferSize;

	/* A software device's heap is a made-up number: imported pages do not count against it. */
	if (p->info.type == VK_SOFTWARE || (shares_host_memory(p) && !has_budget)) {
		p->info.memory_total = system_memory("MemTotal");
		p->info.memory_available = system_memory("MemAvailable");
	}
}

static uint64_t arena_limit(const struct probe *p)
{
	const bool software = p->info.type == VK_SOFTWARE;
	uint64_t limit = p->info.memory_available / (software ? 2 : 4);
	/* Lavapipe's heap is 2 GiB, weights that were copied and staging included. */
	const uint64_t most = software ? GIB + GIB / 2 : 4 * GIB;

	if (limit > most)
		limit = most;
	if (limit < 64 * MIB)
		limit = 64 * MIB;
	/* A little below what one buffer may take: sizes are padded off powers of two. */
	if (limit > p->limits.buffer_size - MIB)
		limit = p->limits.buffer_size - MIB;
	return limit;
}

/*
 * A few hundredths of the slowest such device's peak, on purpose: short slices cost
 * little (a submit is 0.1 ms), long ones delay a cancel and may trip a watchdog.
 */
static double flops_per_ms(enum vk_type type)
{
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	switch (type) {
	case VK_DISCRETE:
		return 2e8;
	case VK_INTEGRATED:
	case VK_VIRTUAL:
		return 2e7;
	default:
		return 4e6 * (double)(cpus < 1 ? 1 : cpus > 32 ? 32 : cpus);
	}
}

static bool host_buffers_importable(VkPhysicalDevice d)
{
	const VkPhysicalDeviceExternalBufferInfo info = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_BUFFER_INFO,
		.usage = VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT,
		.handleType = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
	};
	VkExternalBufferProperties p = { .sType = VK_STRUCTURE_TYPE_EXTERNAL_BUFFER_PROPERTIES };

	vkGetPhysicalDeviceExternalBufferProperties(d, &info, &p);
	return p.externalMemoryProperties.externalMemoryFeatures & VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT;
}

static void limits_get(struct probe *p, const struct properties *props)
{
	const VkPhysicalDeviceLimits *l = &props->core.properties.limits;

	p->limits.subgroup_size = props->v11.subgroupSize;
	p->limits.storage_range = l->maxStorageBufferRange;
	p->limits.texel_elements = l->maxTexelBufferElements;
	p->limits.storage_align = l->minStorageBufferOffsetAlignment;
	p->limits.texel_align = l->minTexelBufferOffsetAlignment;
	p->limits.shared_bytes = l->maxComputeSharedMemorySize;
	p->limits.arena_size = arena_limit(p);
	p->limits.flops_per_ms = flops_per_ms(p->info.type);
	memcpy(p->max_groups, l->maxComputeWorkGroupCount, sizeof p->max_groups);
}

/* What a page of the system satisfies is what a mapped file can be imported by. */
static void import_get(struct probe *p, const struct properties *props)
{
	const uint64_t align = props->host.minImportedHostPointerAlignment;
	const long page = sysconf(_SC_PAGESIZE);

	if (align && page > 0 && align <= (uint64_t)page && host_buffers_importable(p->physical))
		p->import_align = align;
	p->limits.shares_memory = p->import_align && shares_host_memory(p);
}

static void subgroup_get(struct probe *p, const struct extensions *e, const struct properties *props)
{
	VkPhysicalDeviceSubgroupSizeControlFeaturesEXT control = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT,
	};
	VkPhysicalDeviceFeatures2 features = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
		.pNext = &control,
	};

	if (!extensions_have(e, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME))
		return;
	vkGetPhysicalDeviceFeatures2(p->physical, &features);
	p->fixed_subgroup = control.subgroupSizeControl &&
			    (props->subgroup.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT);
	p->full_subgroups = p->fixed_subgroup && control.computeFullSubgroups;
}

/* Four subgroups of 8 to 64 whole lanes make a workgroup of matrix kernels. */
static void matrix_get(struct probe *p, VkInstance instance, const struct extensions *e)
{
	const uint32_t lanes = p->limits.subgroup_size;

	if (p->full_subgroups && lanes >= 8 && lanes <= 64 && extensions_have(e, matrix_extension))
		p->limits.matrix = matrix_probe(instance, p->physical);
	/* No card with matrix units is slow: longer slices, fewer waits between them. */
	if (p->limits.matrix.m && p->info.type == VK_DISCRETE)
		p->limits.flops_per_ms *= 5;
}

/* Prefers a family without graphics: it is not in the desktop's way. */
static bool compute_family(VkPhysicalDevice d, uint32_t *ret)
{
	VkQueueFamilyProperties families[32];
	uint32_t n = sizeof families / sizeof *families;
	bool found = false;

	vkGetPhysicalDeviceQueueFamilyProperties(d, &n, families);
	for (uint32_t i = 0; i < n; i++) {
		const bool graphics = families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT;

		if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) || !families[i].queueCount)
			continue;
		if (!found || !graphics)
			*ret = i;
		found = true;
		if (!graphics)
			break;
	}
	return found;
}

static const char *missing_format(VkPhysicalDevice d)
{
	for (unsigned i = 0; i < FORMAT_COUNT; i++) {
		VkFormatProperties p;

		vkGetPhysicalDeviceFormatProperties(d, format_table[i].format, &p);
		if (!(p.bufferFeatures & VK_FORMAT_FEATURE_UNIFORM_TEXEL_BUFFER_BIT))
			return format_table[i].name;
	}
	return NULL;
}

static const char *missing_subgroup(const VkPhysicalDeviceVulkan11Properties *p)
{
	const VkSubgroupFeatureFlags wanted = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT;

	if (!(p->subgroupSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT))
		return "subgroup operations in compute shaders";
	if ((p->subgroupSupportedOperations & wanted) != wanted)
		return "subgroup shuffle";
	if (p->subgroupSize < SUBGROUP_MIN || p->subgroupSize > SUBGROUP_MAX)
		return "a subgroup of 4 to 128 lanes";
	return NULL;
}

static void missing_get(struct probe *p, const struct extensions *e, const struct properties *props)
{
	const char *missing = NULL;
	char text[sizeof p->info.missing] = "";

	if (props->core.properties.apiVersion < VK_API_VERSION_1_2)
		missing = "Vulkan 1.2";
	else if (!compute_family(p->physical, &p->queue_family))
		missing = "a compute queue";
	else if (!extensions_have(e, VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME))
		missing = VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME;
	else if (props->push.maxPushDescriptors < 1 + VK_MAX_INPUTS)
		missing = "7 push descriptors";
	else
		missing = missing_subgroup(&props->v11);
	if (missing)
		snprintf(text, sizeof text, "%s", missing);
	else if ((missing = missing_format(p->physical)))
		snprintf(text, sizeof text, "uniform texel buffers of format %s", missing);
	memcpy(p->info.missing, text, sizeof text);
	p->info.usable = !text[0];
}

static int probe_one(VkInstance instance, VkPhysicalDevice d, unsigned index, struct probe *p, struct err *err)
{
	struct properties props;
	struct extensions e;
	VkPhysicalDeviceProperties basic;
	int r = extensions_get(d, &e, err);

	if (r < 0)
		goto out;
	vkGetPhysicalDeviceProperties(d, &basic);
	properties_get(d, &e, basic.apiVersion >= VK_API_VERSION_1_2, &props);

	p->physical = d;
	p->info.index = index;
	p->info.type = type_of(basic.deviceType);
	snprintf(p->info.name, sizeof p->info.name, "%s", basic.deviceName);
	snprintf(p->info.driver, sizeof p->info.driver, "%.100s %.100s",
		 props.v12.driverName, props.v12.driverInfo);
	memory_get(p, extensions_have(&e, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME), &props);
	limits_get(p, &props);
	import_get(p, &props);
	subgroup_get(p, &e, &props);
	matrix_get(p, instance, &e);
	missing_get(p, &e, &props);
out:
	free(e.list);
	return r;
}

/* GGML_VK_VISIBLE_DEVICES: comma list of device numbers; unset or empty: all. */
static bool visible(unsigned index)
{
	const char *list = getenv("GGML_VK_VISIBLE_DEVICES");
	char *end;

	if (!list || !*list)
		return true;
	for (;;) {
		const unsigned long n = strtoul(list, &end, 10);

		if (end != list && n == index)
			return true;
		list = strchr(end, ',');
		if (!list)
			return false;
		list++;
	}
}

static int physical_devices(VkInstance instance, VkPhysicalDevice **ret, uint32_t *ret_n, struct err *err)
{
	VkPhysicalDevice *list;
	uint32_t n = 0;
	VkResult r = vkEnumeratePhysicalDevices(instance, &n, NULL);

	if (r != VK_SUCCESS)
		return vk_result(r, "Vulkan devices", err);
	list = calloc(n + 1, sizeof *list);
	if (!list)
		return err_set(err, -ENOMEM, "Vulkan devices: out of memory");
	r = vkEnumeratePhysicalDevices(instance, &n, list);
	if (r != VK_SUCCESS && r != VK_INCOMPLETE) {
		free(list);
		return vk_result(r, "Vulkan devices", err);
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

int probe_all(VkInstance instance, struct probe **ret, size_t *ret_n, struct err *err)
{
	VkPhysicalDevice *physical = NULL;
	struct probe *list = NULL;
	uint32_t n = 0;
	size_t n_list = 0;
	int r = physical_devices(instance, &physical, &n, err);

	if (r < 0)
		return r;
	list = calloc(n + 1, sizeof *list);
	if (!list)
		r = err_set(err, -ENOMEM, "Vulkan devices: out of memory");
	for (uint32_t i = 0; i < n && r == 0; i++)
		if (visible(i))
			r = probe_one(instance, physical[i], i, &list[n_list++], err);
	free(physical);
	if (r < 0) {
		free(list);
		return r;
	}
	*ret = list;
	*ret_n = n_list;
	return 0;
}
