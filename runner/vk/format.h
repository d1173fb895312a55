#ifndef EASEL_RUNNER_VK_FORMAT_H
#define EASEL_RUNNER_VK_FORMAT_H

#include <vulkan/vulkan.h>

#include "runner/vk/vk.h"

/* Texel formats of enum vk_format, in its order. */
struct format_row {
	VkFormat format;
	unsigned bytes;
	bool is_uint;
	const char *name;
};
extern const struct format_row format_table[];
enum { FORMAT_COUNT = VK_R32G32B32A32_FLOAT + 1 };

#endif
