/*
 * Cooperative matrices: what a device has of them, and how they are enabled. By
 * VK_KHR_cooperative_matrix where the shaders' compiler knew it, else by its forerunner
 * of one vendor: both list sizes in structs that differ in names only. Keeps nothing.
 */
#include "runner/vk/matrix.h"

#include <stdlib.h>

#include "shaders/shader_matrix.h"

#if SHADER_MATRIX_KHR
#define NAME VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME
#define LIST "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR"
#define PROPERTIES_TYPE VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR
#define FEATURES_TYPE VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR
#define FLOAT16 VK_COMPONENT_TYPE_FLOAT16_KHR
#define FLOAT32 VK_COMPONENT_TYPE_FLOAT32_KHR
#define SUBGROUP VK_SCOPE_SUBGROUP_KHR
#define RESULT_TYPE ResultType
#define FEATURES khr
typedef VkCooperativeMatrixPropertiesKHR properties;
typedef PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR list_function;
#else
#define NAME VK_NV_COOPERATIVE_MATRIX_EXTENSION_NAME
#define LIST "vkGetPhysicalDeviceCooperativeMatrixPropertiesNV"
#define PROPERTIES_TYPE VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_NV
#define FEATURES_TYPE VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_NV
#define FLOAT16 VK_COMPONENT_TYPE_FLOAT16_NV
#define FLOAT32 VK_COMPONENT_TYPE_FLOAT32_NV
#define SUBGROUP VK_SCOPE_SUBGROUP_NV
#define RESULT_TYPE DType
#define FEATURES nv
typedef VkCooperativeMatrixPropertiesNV properties;
typedef PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesNV list_function;
#endif

const char matrix_extension[] = NAME;

void *matrix_features_chain(struct matrix_features *f, void *next)
{
	*f = (struct matrix_features){
		.float16 = {
			.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES,
			.pNext = &f->memory_model,
			.shaderFloat16 = VK_TRUE,
		},
		.memory_model = {
			.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES,
			.pNext = &f->matrix,
			.vulkanMemoryModel = VK_TRUE,
		},
		.matrix.FEATURES = {
			.sType = FEATURES_TYPE,
			.pNext = next,
			.cooperativeMatrix = VK_TRUE,
		},
	};
	return f;
}

static bool has_features(VkPhysicalDevice device)
{
	struct matrix_features f;
	VkPhysicalDeviceFeatures2 all = {
		.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
		.pNext = matrix_features_chain(&f, NULL),
	};

	vkGetPhysicalDeviceFeatures2(device, &all);
	return f.float16.shaderFloat16 && f.memory_model.vulkanMemoryModel && f.matrix.FEATURES.cooperativeMatrix;
}

/* Tiles of shaders/lib/tile_matrix.glsl are a whole number of fragments, and four of them fit beside it. */
enum { FRAGMENT_MAX = 512 };

static bool fits(uint32_t side)
{
	return side == 8 || side == 16 || side == 32;
}

static bool usable(const properties *p)
{
	return p->AType == FLOAT16 && p->BType == FLOAT16 && p->CType == FLOAT32 && p->RESULT_TYPE == FLOAT32 &&
	       p->scope == SUBGROUP && fits(p->MSize) && fits(p->NSize) && fits(p->KSize) &&
	       p->MSize * p->NSize <= FRAGMENT_MAX;
}

/* 16 a side is what most units are made for; else the larger, the fewer loads. */
static uint32_t preference(uint32_t m, uint32_t n, uint32_t k)
{
	return m == 16 && n == 16 && k == 16 ? UINT32_MAX : m * n * k;
}

static struct vk_matrix best_of(const properties *list, uint32_t n)
{
	struct vk_matrix best = { 0 };

	for (uint32_t i = 0; i < n; i++) {
		const properties *p = &list[i];

		if (usable(p) && preference(p->MSize, p->NSize, p->KSize) > preference(best.m, best.n, best.k))
			best = (struct vk_matrix){ p->MSize, p->NSize, p->KSize };
	}
	return best;
}

struct vk_matrix matrix_probe(VkInstance instance, VkPhysicalDevice device)
{
	const list_function get = (list_function)vkGetInstanceProcAddr(instance, LIST);
	struct vk_matrix best = { 0 };
	properties *list;
	VkResult r;
	uint32_t n = 0;

	if (!get || !has_features(device) || get(device, &n, NULL) != VK_SUCCESS || !n)
		return best;
	list = calloc(n, sizeof *list);
	if (!list)
		return best;
	for (uint32_t i = 0; i < n; i++)
		list[i].sType = PROPERTIES_TYPE;
	r = get(device, &n, list);
	if (r == VK_SUCCESS || r == VK_INCOMPLETE)
		best = best_of(list, n);
	free(list);
	return best;
}
