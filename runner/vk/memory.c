/*
 * Buffers: one allocation each, or host pages imported in place. GPU thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "runner/vk/device.h"
#include "runner/vk/result.h"

/* Behind every buffer; see padded_size() and vk_input_bytes(). */
enum { SLACK = 256 };

/* Memory of a place: what it must have, and what it should and should not have besides. */
static const struct place_row {
	VkMemoryPropertyFlags required, wanted, unwanted;
} places[] = {
	[VK_DEVICE] = { 0, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT },
	[VK_HOST] = {
		VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
		VK_MEMORY_PROPERTY_HOST_CACHED_BIT, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
	},
};

static bool memory_type(const struct vk *vk, uint32_t allowed, struct place_row want, uint32_t *ret)
{
	int best = -1;

	for (uint32_t i = 0; i < vk->memory.memoryTypeCount; i++) {
		const VkMemoryPropertyFlags flags = vk->memory.memoryTypes[i].propertyFlags;
		const int score = 2 * ((flags & want.wanted) == want.wanted) + !(flags & want.unwanted);

		if (!(allowed & (UINT32_C(1) << i)) || (flags & want.required) != want.required ||
		    (flags & VK_MEMORY_PROPERTY_PROTECTED_BIT) || score <= best)
			continue;
		best = score;
		*ret = i;
	}
	return best >= 0;
}

static bool mappable(const struct vk *vk, uint32_t type)
{
	const VkMemoryPropertyFlags wanted = places[VK_HOST].required;

	return (vk->memory.memoryTypes[type].propertyFlags & wanted) == wanted;
}

/* Mesa's software device compiles a kernel again for sizes that are powers of two. */
static uint64_t padded_size(const struct vk *vk, uint64_t size)
{
	uint64_t padded = size + SLACK;

	if (!(padded & (padded - 1)))
		padded += SLACK;
	return padded <= vk->probe.limits.buffer_size ? padded : size;
}

static int refuse_size(const struct vk *vk, uint64_t size, struct err *err)
{
	if (!size)
		return err_set(err, -EINVAL, "a device buffer of no bytes");
	if (size > vk->probe.limits.buffer_size)
		return err_set(err, -ENOMEM, "a buffer of %" PRIu64 " bytes is above the limit of %s, %" PRIu64,
			       size, vk->probe.info.name, vk->probe.limits.buffer_size);
	return 0;
}

static int buffer_handle(struct vk *vk, struct vk_buffer *b, uint64_t size, VkBufferUsageFlags usage,
			 const void *next, struct err *err)
{
	const VkBufferCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
		.pNext = next,
		.size = size,
		.usage = usage,
	};

	b->room = size;
	return vk_result(vkCreateBuffer(vk->device, &info, NULL, &b->handle), "device buffer", err);
}

static int allocate(struct vk *vk, struct vk_buffer *b, enum vk_place place, struct err *err)
{
	VkMemoryRequirements need;
	VkMemoryAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO };
	bool map;
	VkResult r;

	vkGetBufferMemoryRequirements(vk->device, b->handle, &need);
	if (!memory_type(vk, need.memoryTypeBits, places[place], &info.memoryTypeIndex))
		return err_set(err, -ENOTSUP, "%s has no memory that the host can map", vk->probe.info.name);
	info.allocationSize = need.size;
	r = vkAllocateMemory(vk->device, &info, NULL, &b->memory);
	if (r != VK_SUCCESS) {
		b->memory = VK_NULL_HANDLE;
		vk_result(r, "allocation", err);
		return err_prefix(err, "%" PRIu64 " MiB on %s", b->size >> 20, vk->probe.info.name);
	}
	r = vkBindBufferMemory(vk->device, b->handle, b->memory, 0);
	map = place == VK_HOST || (vk->probe.limits.shares_memory && mappable(vk, info.memoryTypeIndex));
	if (r == VK_SUCCESS && map)
		r = vkMapMemory(vk->device, b->memory, 0, VK_WHOLE_SIZE, 0, &b->map);
	return vk_result(r, "device buffer", err);
}

int vk_buffer_create(struct vk *vk, enum vk_place place, uint64_t size, struct vk_buffer **ret, struct err *err)
{
	const VkBufferUsageFlags usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
		VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT |
		VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;
	struct vk_buffer *b;
	int r = refuse_size(vk, size, err);

	if (r < 0)
		return r;
	b = calloc(1, sizeof *b);
	if (!b)
		return err_set(err, -ENOMEM, "device buffer: out of memory");
	b->size = size;
	if ((r = buffer_handle(vk, b, padded_size(vk, size), usage, NULL, err)) < 0 ||
	    (r = allocate(vk, b, place, err)) < 0) {
		vk_buffer_destroy(vk, &b);
		return r;
	}
	*ret = b;
	return 0;
}

/* Any refusal means: copy instead. The driver may not like this mapping, read-only ones above all. */
static int import_memory(struct vk *vk, struct vk_buffer *b, const void *pages)
{
	const VkExternalMemoryHandleTypeFlagBits type = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
	const uint64_t align = vk->probe.import_align;
	VkMemoryHostPointerPropertiesEXT host = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT,
	};
	const VkImportMemoryHostPointerInfoEXT import = {
		.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
		.handleType = type,
		.pHostPointer = (void *)(uintptr_t)pages,
	};
	VkMemoryAllocateInfo info = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
		.pNext = &import,
		.allocationSize = (b->size + align - 1) / align * align,
	};
	VkMemoryRequirements need;

	vkGetBufferMemoryRequirements(vk->device, b->handle, &need);
	if (vk->host_pointer_properties(vk->device, type, pages, &host) != VK_SUCCESS ||
	    need.size > info.allocationSize ||
	    !memory_type(vk, need.memoryTypeBits & host.memoryTypeBits, (struct place_row){ 0 },
			 &info.memoryTypeIndex))
		return -ENOTSUP;
	if (vkAllocateMemory(vk->device, &info, NULL, &b->memory) != VK_SUCCESS) {
		b->memory = VK_NULL_HANDLE;
		return -ENOTSUP;
	}
	return vkBindBufferMemory(vk->device, b->handle, b->memory, 0) == VK_SUCCESS ? 0 : -ENOTSUP;
}

int vk_buffer_import(struct vk *vk, const void *pages, uint64_t size, struct vk_buffer **ret, struct err *err)
{
	const VkExternalMemoryBufferCreateInfo external = {
		.sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
		.handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
	};
	struct vk_buffer *b;
	int r = refuse_size(vk, size, err);

	if (r < 0)
		return r;
	if (!vk->host_pointer_properties || (uintptr_t)pages % vk->probe.import_align)
		return err_set(err, -ENOTSUP, "%s cannot import these host pages", vk->probe.info.name);
	b = calloc(1, sizeof *b);
	if (!b)
		return err_set(err, -ENOMEM, "device buffer: out of memory");
	b->size = size;
	b->pages = pages;
	r = buffer_handle(vk, b, size, VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT, &external, err);
	if (r == 0 && import_memory(vk, b, pages) < 0)
		r = err_set(err, -ENOTSUP, "%s refused to import host pages", vk->probe.info.name);
	if (r < 0) {
		vk_buffer_destroy(vk, &b);
		return r;
	}
	*ret = b;
	return 0;
}

void vk_buffer_destroy(struct vk *vk, struct vk_buffer **pointer)
{
	struct vk_buffer *b = *pointer;

	*pointer = NULL;
	if (!b)
		return;
	vkDestroyBuffer(vk->device, b->handle, NULL);
	vkFreeMemory(vk->device, b->memory, NULL);
	free(b);
}

void *vk_buffer_map(struct vk_buffer *b)
{
	return b->map;
}

const void *vk_buffer_read(const struct vk_buffer *b)
{
	return b->map ? b->map : b->pages;
}

uint64_t vk_buffer_size(const struct vk_buffer *b)
{
	return b->size;
}

/*
 * Mesa's software device takes bits 8 to 15 of a range for a mip level, and compiles a
 * kernel again for every mix of inputs where they are and are not all zero.
 */
uint64_t vk_input_bytes(const struct vk *vk, const struct vk_input *in)
{
	const uint64_t more = in->bytes + SLACK;
	const bool recompiled = vk->probe.info.type == VK_SOFTWARE && !(in->bytes & 0xff00);

	return recompiled && in->offset + more <= in->buffer->room ? more : in->bytes;
}
