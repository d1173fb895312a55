/*
 * Kernels: one descriptor layout for all, pipelines kept by shader and specialization
 * values until the device closes.
 */
#include "runner/vk/pipeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runner/vk/device.h"
#include "runner/vk/result.h"

int pipelines_init(struct vk *vk, struct err *err)
{
	struct pipelines *p = &vk->pipelines;
	VkDescriptorSetLayoutBinding bindings[1 + VK_MAX_INPUTS];
	const VkDescriptorSetLayoutCreateInfo set = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
		.flags = VK_DESCRIPTOR_SET_LAYOUT_CREATE_PUSH_DESCRIPTOR_BIT_KHR,
		.bindingCount = 1 + VK_MAX_INPUTS,
		.pBindings = bindings,
	};
	const VkPushConstantRange push = { .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = VK_PUSH_BYTES };
	const VkPipelineLayoutCreateInfo layout = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
		.setLayoutCount = 1,
		.pSetLayouts = &p->set_layout,
		.pushConstantRangeCount = 1,
		.pPushConstantRanges = &push,
	};
	int r;

	for (uint32_t i = 0; i < 1 + VK_MAX_INPUTS; i++)
		bindings[i] = (VkDescriptorSetLayoutBinding){
			.binding = i,
			.descriptorType = i ? VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
			.descriptorCount = 1,
			.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
		};
	r = vk_result(vkCreateDescriptorSetLayout(vk->device, &set, NULL, &p->set_layout), "binding layout", err);
	if (r < 0)
		return r;
	return vk_result(vkCreatePipelineLayout(vk->device, &layout, NULL, &p->layout), "kernel layout", err);
}

void pipelines_finish(struct vk *vk)
{
	struct pipelines *p = &vk->pipelines;

	for (size_t i = 0; i < p->n; i++)
		vkDestroyPipeline(vk->device, p->kernels[i].pipeline, NULL);
	for (unsigned i = 0; i < SHADER_COUNT; i++)
		vkDestroyShaderModule(vk->device, p->modules[i].handle, NULL);
	vkDestroyPipelineLayout(vk->device, p->layout, NULL);
	vkDestroyDescriptorSetLayout(vk->device, p->set_layout, NULL);
	free(p->kernels);
	memset(p, 0, sizeof *p);
}

static const struct kernel *find(const struct pipelines *p, const struct vk_dispatch *d)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct kernel *k = &p->kernels[i];

		if (k->shader == d->shader && k->n_spec == d->n_spec &&
		    !memcmp(k->spec, d->spec, d->n_spec * sizeof *d->spec))
			return k;
	}
	return NULL;
}

static int reserve(struct pipelines *p, struct err *err)
{
	const size_t allocated = p->allocated ? 2 * p->allocated : 32;
	struct kernel *kernels;

	if (p->n < p->allocated)
		return 0;
	kernels = realloc(p->kernels, allocated * sizeof *kernels);
	if (!kernels)
		return err_set(err, -ENOMEM, "kernels: out of memory");
	p->kernels = kernels;
	p->allocated = allocated;
	return 0;
}

static int module_get(struct vk *vk, unsigned shader, VkShaderModule *ret, struct err *err)
{
	struct module *m = &vk->pipelines.modules[shader];
	const struct shader_code *code = &shader_table[shader];
	const VkShaderModuleCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
		.codeSize = code->bytes,
		.pCode = code->words,
	};
	int r = 0;

	if (!m->handle) {
		r = vk_result(vkCreateShaderModule(vk->device, &info, NULL, &m->handle), code->name, err);
		reflect_bindings(code, &m->bindings);
	}
	*ret = m->handle;
	return r;
}

size_t vk_kernel_count(const struct vk *vk)
{
	return vk->pipelines.n;
}

const struct bindings *pipelines_bindings(const struct vk *vk, unsigned shader)
{
	return &vk->pipelines.modules[shader].bindings;
}

static int compile(struct vk *vk, VkShaderModule module, struct kernel *k, struct err *err)
{
	VkSpecializationMapEntry entries[VK_MAX_SPEC];
	const VkSpecializationInfo spec = { k->n_spec, entries, k->n_spec * sizeof *k->spec, k->spec };
	VkPipelineShaderStageRequiredSubgroupSizeCreateInfoEXT subgroup = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO_EXT,
		.requiredSubgroupSize = vk->probe.limits.subgroup_size,
	};
	const VkComputePipelineCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
		.stage = {
			.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
			.pNext = vk->probe.fixed_subgroup ? &subgroup : NULL,
			.flags = vk->probe.full_subgroups ?
				 VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT_EXT : 0,
			.stage = VK_SHADER_STAGE_COMPUTE_BIT,
			.module = module,
			.pName = "main",
			.pSpecializationInfo = &spec,
		},
		.layout = vk->pipelines.layout,
	};

	for (uint32_t i = 0; i < k->n_spec; i++)
		entries[i] = (VkSpecializationMapEntry){ i, i * (uint32_t)sizeof *k->spec, sizeof *k->spec };
	return vk_result(vkCreateComputePipelines(vk->device, vk->cache.handle, 1, &info, NULL, &k->pipeline),
			 shader_table[k->shader].name, err);
}

int pipelines_get(struct vk *vk, const struct vk_dispatch *d, VkPipeline *ret, struct err *err)
{
	struct pipelines *p = &vk->pipelines;
	const struct kernel *known = find(p, d);
	struct kernel k = { .shader = d->shader, .n_spec = d->n_spec };
	VkShaderModule module;
	int r;

	if (known) {
		*ret = known->pipeline;
		return 0;
	}
	memcpy(k.spec, d->spec, d->n_spec * sizeof *d->spec);
	if ((r = reserve(p, err)) < 0 ||
	    (r = module_get(vk, d->shader, &module, err)) < 0 ||
	    (r = compile(vk, module, &k, err)) < 0)
		return r;
	p->kernels[p->n++] = k;
	*ret = k.pipeline;
	return 0;
}
