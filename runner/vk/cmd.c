/*
 * Command lists: recorded once, submitted any number of times. A list owns the texel
 * views that its dispatches bind. GPU thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "runner/vk/device.h"
#include "runner/vk/format.h"
#include "runner/vk/result.h"

/* How far back a view is looked for: the bands of one op bind the same inputs. */
enum { VIEWS_LOOKED_AT = 32 };

struct view {
	struct vk_input of;
	VkBufferView handle;
};

struct vk_cmd {
	struct vk *vk;
	VkCommandBuffer commands;
	VkPipeline bound;
	struct view *views;
	size_t n_views, allocated;
};

static void barrier(VkCommandBuffer commands, VkPipelineStageFlags before, VkAccessFlags written,
		    VkPipelineStageFlags after, VkAccessFlags used)
{
	const VkMemoryBarrier b = {
		.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
		.srcAccessMask = written,
		.dstAccessMask = used,
	};

	vkCmdPipelineBarrier(commands, before, after, 0, 1, &b, 0, NULL, 0, NULL);
}

void vk_cmd_barrier(struct vk_cmd *c)
{
	barrier(c->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT,
		VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
}

void vk_cmd_host_barrier(struct vk_cmd *c)
{
	barrier(c->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT,
		VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
}

int vk_cmd_begin(struct vk *vk, struct vk_cmd **ret, struct err *err)
{
	const VkCommandBufferAllocateInfo allocate = {
		.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
		.commandPool = vk->pool,
		.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
		.commandBufferCount = 1,
	};
	const VkCommandBufferBeginInfo begin = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO };
	struct vk_cmd *c = calloc(1, sizeof *c);
	int r;

	if (!c)
		return err_set(err, -ENOMEM, "command list: out of memory");
	c->vk = vk;
	r = vk_result(vkAllocateCommandBuffers(vk->device, &allocate, &c->commands), "command list", err);
	if (r == 0)
		r = vk_result(vkBeginCommandBuffer(c->commands, &begin), "command list", err);
	if (r < 0) {
		vk_cmd_destroy(vk, &c);
		return r;
	}
	/* What the list submitted before wrote is an input of this one. */
	vk_cmd_barrier(c);
	*ret = c;
	return 0;
}

static bool same_input(const struct vk_input *a, const struct vk_input *b)
{
	return a->format == b->format && a->buffer == b->buffer && a->offset == b->offset && a->bytes == b->bytes;
}

static const struct view *find_view(const struct vk_cmd *c, const struct vk_input *in)
{
	const size_t stop = c->n_views > VIEWS_LOOKED_AT ? c->n_views - VIEWS_LOOKED_AT : 0;

	for (size_t i = c->n_views; i > stop; i--)
		if (same_input(&c->views[i - 1].of, in))
			return &c->views[i - 1];
	return NULL;
}

static int reserve_view(struct vk_cmd *c, struct err *err)
{
	const size_t allocated = c->allocated ? 2 * c->allocated : 64;
	struct view *views;

	if (c->n_views < c->allocated)
		return 0;
	views = realloc(c->views, allocated * sizeof *views);
	if (!views)
		return err_set(err, -ENOMEM, "texel views: out of memory");
	c->views = views;
	c->allocated = allocated;
	return 0;
}

/* Drivers read a view that breaks these rules anyway, some until they crash: refuse it here. */
static int check_input(const struct vk_cmd *c, const struct vk_input *in, struct err *err)
{
	const struct vk_limits *l = &c->vk->probe.limits;
	const unsigned texel = vk_format_bytes(in->format);

	if (!texel || !in->buffer || !in->bytes || in->bytes % texel || in->offset % l->texel_align ||
	    in->offset > in->buffer->size || in->bytes > in->buffer->size - in->offset)
		return err_set(err, -EINVAL, "input of format %u at %" PRIu64 ", %" PRIu64 " bytes, cannot be viewed",
			       (unsigned)in->format, in->offset, in->bytes);
	if (in->bytes / texel > l->texel_elements)
		return err_set(err, -EINVAL, "input of %" PRIu64 " texels is above the limit of %s, %" PRIu64,
			       in->bytes / texel, c->vk->probe.info.name, l->texel_elements);
	return 0;
}

static int get_view(struct vk_cmd *c, const struct vk_input *in, VkBufferView *ret, struct err *err)
{
	const struct view *known = find_view(c, in);
	VkBufferViewCreateInfo info = { .sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO };
	struct view v = { .of = *in };
	int r;

	if (known) {
		*ret = known->handle;
		return 0;
	}
	r = reserve_view(c, err);
	if (r < 0)
		return r;
	info.buffer = in->buffer->handle;
	info.format = format_table[in->format].format;
	info.offset = in->offset;
	info.range = vk_input_bytes(c->vk, in);
	r = vk_result(vkCreateBufferView(c->vk->device, &info, NULL, &v.handle), "texel view", err);
	if (r < 0)
		return r;
	c->views[c->n_views++] = v;
	*ret = v.handle;
	return 0;
}

static int check_dispatch(const struct vk *vk, const struct vk_dispatch *d, struct err *err)
{
	const struct vk_limits *l = &vk->probe.limits;

	if (d->shader >= SHADER_COUNT || d->n_spec > VK_MAX_SPEC || d->n_inputs > VK_MAX_INPUTS ||
	    d->push_bytes > VK_PUSH_BYTES || d->push_bytes % 4)
		return err_set(err, -EINVAL, "dispatch of kernel %u is malformed", d->shader);
	if (!d->out || !d->out_bytes || d->out_offset % l->storage_align || d->out_bytes > l->storage_range ||
	    d->out_offset > d->out->size || d->out_bytes > d->out->size - d->out_offset)
		return err_set(err, -EINVAL, "%s: output at %" PRIu64 ", %" PRIu64 " bytes, cannot be bound "
			       "(%s binds %" PRIu64 ")", shader_table[d->shader].name, d->out_offset, d->out_bytes,
			       vk->probe.info.name, l->storage_range);
	for (int i = 0; i < 3; i++)
		if (!d->groups[i] || d->groups[i] > vk->probe.max_groups[i])
			return err_set(err, -EINVAL, "%s: %" PRIu32 " workgroups in dimension %d, the limit of %s is %" PRIu32,
				       shader_table[d->shader].name, d->groups[i], i, vk->probe.info.name,
				       vk->probe.max_groups[i]);
	return 0;
}

static int check_kind(enum binding kind, const struct vk_input *in, struct err *err)
{
	if (kind == (format_table[in->format].is_uint ? BINDING_UINT_TEXELS : BINDING_FLOAT_TEXELS))
		return 0;
	return err_set(err, -EINVAL, "the kernel does not read %s", format_table[in->format].name);
}

/* For a binding that the kernel names but its specialization never reads: any texel of the right kind. */
static struct vk_input stand_in(enum binding kind, const struct vk_input *first)
{
	return (struct vk_input){
		.format = kind == BINDING_UINT_TEXELS ? VK_R32_UINT : VK_R32_FLOAT,
		.buffer = first->buffer,
		.offset = first->offset,
		.bytes = sizeof(uint32_t),
	};
}

static int input_view(struct vk_cmd *c, const struct vk_dispatch *d, uint32_t i, enum binding kind,
		      VkBufferView *ret, struct err *err)
{
	struct vk_input in;
	int r;

	if (i >= d->n_inputs) {
		in = stand_in(kind, &d->inputs[0]);
		return get_view(c, &in, ret, err);
	}
	r = check_input(c, &d->inputs[i], err);
	if (r == 0)
		r = check_kind(kind, &d->inputs[i], err);
	return r < 0 ? r : get_view(c, &d->inputs[i], ret, err);
}

static int push_bindings(struct vk_cmd *c, const struct vk_dispatch *d, struct err *err)
{
	const struct bindings *declared = pipelines_bindings(c->vk, d->shader);
	const VkDescriptorBufferInfo out = { d->out->handle, d->out_offset, d->out_bytes };
	VkBufferView views[VK_MAX_INPUTS];
	VkWriteDescriptorSet writes[1 + VK_MAX_INPUTS];
	uint32_t n = 0;

	writes[n++] = (VkWriteDescriptorSet){
		.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
		.descriptorCount = 1,
		.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
		.pBufferInfo = &out,
	};
	for (uint32_t i = 0; i < VK_MAX_INPUTS; i++) {
		const enum binding kind = declared->kind[1 + i];
		int r;

		if (kind == BINDING_NONE || !d->n_inputs)
			continue;
		r = input_view(c, d, i, kind, &views[i], err);
		if (r < 0)
			return err_prefix(err, "%s: input %" PRIu32, shader_table[d->shader].name, i);
		writes[n++] = (VkWriteDescriptorSet){
			.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
			.dstBinding = 1 + i,
			.descriptorCount = 1,
			.descriptorType = VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER,
			.pTexelBufferView = &views[i],
		};
	}
	c->vk->push_descriptors(c->commands, VK_PIPELINE_BIND_POINT_COMPUTE, c->vk->pipelines.layout, 0, n, writes);
	return 0;
}

int vk_cmd_dispatch(struct vk_cmd *c, const struct vk_dispatch *d, struct err *err)
{
	VkPipeline pipeline;
	int r;

	if ((r = check_dispatch(c->vk, d, err)) < 0 ||
	    (r = pipelines_get(c->vk, d, &pipeline, err)) < 0 ||
	    (r = push_bindings(c, d, err)) < 0)
		return r;
	if (pipeline != c->bound)
		vkCmdBindPipeline(c->commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
	c->bound = pipeline;
	if (d->push_bytes)
		vkCmdPushConstants(c->commands, c->vk->pipelines.layout, VK_SHADER_STAGE_COMPUTE_BIT,
				   0, d->push_bytes, d->push);
	vkCmdDispatch(c->commands, d->groups[0], d->groups[1], d->groups[2]);
	return 0;
}

int vk_cmd_end(struct vk_cmd *c, struct err *err)
{
	return vk_result(vkEndCommandBuffer(c->commands), "command list", err);
}

void vk_cmd_destroy(struct vk *vk, struct vk_cmd **pointer)
{
	struct vk_cmd *c = *pointer;

	*pointer = NULL;
	if (!c)
		return;
	if (c->commands)
		vkFreeCommandBuffers(vk->device, vk->pool, 1, &c->commands);
	for (size_t i = 0; i < c->n_views; i++)
		vkDestroyBufferView(vk->device, c->views[i].handle, NULL);
	free(c->views);
	free(c);
}

int vk_submit(struct vk *vk, struct vk_cmd *c, struct err *err)
{
	const VkSubmitInfo info = {
		.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
		.commandBufferCount = 1,
		.pCommandBuffers = &c->commands,
	};
	VkResult submitted = vkQueueSubmit(vk->queue, 1, &info, vk->fence);
	int r = vk_result(submitted, "GPU work", err);

	vk->lost |= submitted == VK_ERROR_DEVICE_LOST;
	if (r < 0)
		return r;
	r = vk_result(vkWaitForFences(vk->device, 1, &vk->fence, VK_TRUE, UINT64_MAX), "GPU work", err);
	if (r == 0)
		r = vk_result(vkResetFences(vk->device, 1, &vk->fence), "GPU work", err);
	vk->lost |= r < 0;
	return r;
}

bool vk_lost(const struct vk *vk)
{
	return vk->lost;
}
