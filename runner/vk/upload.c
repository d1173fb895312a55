/*
 * Copies into buffers: directly where mapped, else through a ring of two staging
 * buffers, so that the host fills one while the device empties the other. GPU thread.
 */
#include "runner/vk/upload.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "runner/vk/device.h"
#include "runner/vk/result.h"

#define SLOT_BYTES (UINT64_C(16) << 20)

static int slot_init(struct vk *vk, struct upload_slot *s, struct err *err)
{
	const VkCommandBufferAllocateInfo commands = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
		.commandPool = vk->pool,
		.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
		.commandBufferCount = 1,
	};
	const VkFenceCreateInfo fence = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
	int r = 0;

	if (!s->commands)
		r = vk_result(vkAllocateCommandBuffers(vk->device, &commands, &s->commands), "upload", err);
	if (r == 0 && !s->fence)
		r = vk_result(vkCreateFence(vk->device, &fence, NULL, &s->fence), "upload", err);
	if (r == 0 && !s->staging)
		r = vk_buffer_create(vk, VK_HOST, SLOT_BYTES, &s->staging, err);
	return r;
}

static int slot_wait(struct vk *vk, struct upload_slot *s, struct err *err)
{
	int r;

	if (!s->busy)
		return 0;
	r = vk_result(vkWaitForFences(vk->device, 1, &s->fence, VK_TRUE, UINT64_MAX), "upload", err);
	if (r == 0)
		r = vk_result(vkResetFences(vk->device, 1, &s->fence), "upload", err);
	s->busy = r < 0;
	return r;
}

static int slot_record(struct upload_slot *s, const struct vk_buffer *dst, uint64_t offset, uint64_t bytes,
		       struct err *err)
{
	const VkCommandBufferBeginInfo begin = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
		.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
	};
	const VkBufferCopy region = { .dstOffset = offset, .size = bytes };
	/* Other uploads may touch the same bytes; kernels of later submits read them. */
	const VkMemoryBarrier barrier = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
		.srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
		.dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
	};
	int r = vk_result(vkBeginCommandBuffer(s->commands, &begin), "upload", err);

	if (r < 0)
		return r;
	vkCmdCopyBuffer(s->commands, s->staging->handle, dst->handle, 1, &region);
	vkCmdPipelineBarrier(s->commands, VK_PIPELINE_STAGE_TRANSFER_BIT,
			     VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
			     0, 1, &barrier, 0, NULL, 0, NULL);
	return vk_result(vkEndCommandBuffer(s->commands), "upload", err);
}

static int slot_copy(struct vk *vk, struct upload_slot *s, const struct vk_buffer *dst, uint64_t offset,
		     const void *src, uint64_t bytes, struct err *err)
{
	const VkSubmitInfo submit = {
		.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
		.commandBufferCount = 1,
		.pCommandBuffers = &s->commands,
	};
	int r;

	if ((r = slot_init(vk, s, err)) < 0 || (r = slot_wait(vk, s, err)) < 0)
		return r;
	memcpy(s->staging->map, src, bytes);
	r = slot_record(s, dst, offset, bytes, err);
	if (r == 0)
		r = vk_result(vkQueueSubmit(vk->queue, 1, &submit, s->fence), "upload", err);
	s->busy = r == 0;
	return r;
}

int vk_upload(struct vk *vk, struct vk_buffer *dst, uint64_t offset, const void *src, uint64_t bytes,
	      struct err *err)
{
	struct upload *u = &vk->upload;
	const unsigned char *from = src;

	if (offset > dst->size || bytes > dst->size - offset)
		return err_set(err, -EINVAL, "upload of %" PRIu64 " bytes at %" PRIu64 " into a buffer of %" PRIu64,
			       bytes, offset, dst->size);
	if (dst->map) {
		memcpy((unsigned char *)dst->map + offset, src, bytes);
		return 0;
	}
	while (bytes) {
		const uint64_t n = bytes < SLOT_BYTES ? bytes : SLOT_BYTES;
		const int r = slot_copy(vk, &u->slots[u->next], dst, offset, from, n, err);

		if (r < 0)
			return r;
		u->next = (u->next + 1) % UPLOAD_SLOTS;
		from += n;
		offset += n;
		bytes -= n;
	}
	return 0;
}

int vk_upload_finish(struct vk *vk, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < UPLOAD_SLOTS && r == 0; i++)
		r = slot_wait(vk, &vk->upload.slots[i], err);
	if (r == 0)
		upload_finish(vk);      /* a model is loaded once: give the staging memory back */
	return r;
}

void upload_finish(struct vk *vk)
{
	for (unsigned i = 0; i < UPLOAD_SLOTS; i++) {
		struct upload_slot *s = &vk->upload.slots[i];

		if (s->commands)
			vkFreeCommandBuffers(vk->device, vk->pool, 1, &s->commands);
		vkDestroyFence(vk->device, s->fence, NULL);
		vk_buffer_destroy(vk, &s->staging);
		*s = (struct upload_slot){ 0 };
	}
}
