#ifndef EASEL_RUNNER_VK_MATRIX_H
#define EASEL_RUNNER_VK_MATRIX_H

#include <vulkan/vulkan.h>

#include "runner/vk/vk.h"

/* Cooperative matrices, by the extension that the shaders were compiled for. */

extern const char matrix_extension[];           /* its name */

/*
 * The size that kernels are to use, m 0 when there is none: the device lacks features, or
 * lists no float16 operands of 8, 16 or 32 a side with float32 sums. Its extension is there.
 */
struct vk_matrix matrix_probe(VkInstance instance, VkPhysicalDevice device);

/* What such kernels need enabled besides the extension; next is the chain's rest. */
struct matrix_features {
	VkPhysicalDeviceShaderFloat16Int8Features float16;
	VkPhysicalDeviceVulkanMemoryModelFeatures memory_model;
	union {
		VkPhysicalDeviceCooperativeMatrixFeaturesNV nv;
#ifdef VK_KHR_cooperative_matrix
		VkPhysicalDeviceCooperativeMatrixFeaturesKHR khr;
#endif
	} matrix;
};
/* Every feature on; returns the chain's head. *f must live as long as the chain. */
void *matrix_features_chain(struct matrix_features *f, void *next);

#endif
