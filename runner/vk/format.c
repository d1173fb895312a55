/*
 * Texel formats: what the rest of the runner calls them and what Vulkan does.
 * Read-only data, any thread.
 */
#include "runner/vk/format.h"

const struct format_row format_table[FORMAT_COUNT] = {
	[VK_R32_UINT] = { VK_FORMAT_R32_UINT, 4, true, "R32_UINT" },
	[VK_R32G32_UINT] = { VK_FORMAT_R32G32_UINT, 8, true, "R32G32_UINT" },
	[VK_R32G32B32A32_UINT] = { VK_FORMAT_R32G32B32A32_UINT, 16, true, "R32G32B32A32_UINT" },
	[VK_R16_UINT] = { VK_FORMAT_R16_UINT, 2, true, "R16_UINT" },
	[VK_R32_FLOAT] = { VK_FORMAT_R32_SFLOAT, 4, false, "R32_SFLOAT" },
	[VK_R32G32B32A32_FLOAT] = { VK_FORMAT_R32G32B32A32_SFLOAT, 16, false, "R32G32B32A32_SFLOAT" },
};

unsigned vk_format_bytes(enum vk_format f)
{
	return (unsigned)f < FORMAT_COUNT ? format_table[f].bytes : 0;
}
