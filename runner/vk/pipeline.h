#ifndef EASEL_RUNNER_VK_PIPELINE_H
#define EASEL_RUNNER_VK_PIPELINE_H

#include <vulkan/vulkan.h>

#include "runner/vk/reflect.h"
#include "runner/vk/vk.h"
#include "shaders/shaders.h"

struct module {
	VkShaderModule handle;                  /* NULL: not used yet */
	struct bindings bindings;
};
struct kernel {
	unsigned shader, n_spec;
	uint32_t spec[VK_MAX_SPEC];
	VkPipeline pipeline;
};

/* The one layout, the modules used so far, and a kernel per (shader, spec values). */
struct pipelines {
	VkDescriptorSetLayout set_layout;
	VkPipelineLayout layout;
	struct module modules[SHADER_COUNT];
	struct kernel *kernels;
	size_t n, allocated;
};

int pipelines_init(struct vk *vk, struct err *err);
void pipelines_finish(struct vk *vk);           /* zeroed or half-made is fine */
/* The kernel of a dispatch, made on first use; compiling may take a second. */
int pipelines_get(struct vk *vk, const struct vk_dispatch *d, VkPipeline *ret, struct err *err);
/* What the module of a kernel that pipelines_get() has made declares. */
const struct bindings *pipelines_bindings(const struct vk *vk, unsigned shader);

#endif
