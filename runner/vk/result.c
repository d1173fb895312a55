/*
 * Vulkan's result codes as errors for a person. No state, any thread.
 */
#include "runner/vk/result.h"

#include <errno.h>
#include <stddef.h>

static const struct result_row {
	VkResult result;
	int code;
	const char *text;
} results[] = {
	{ VK_ERROR_OUT_OF_HOST_MEMORY, -ENOMEM, "out of memory" },
	{ VK_ERROR_OUT_OF_DEVICE_MEMORY, -ENOMEM, "out of device memory" },
	{ VK_ERROR_DEVICE_LOST, -EIO, "the device was lost (driver reset or crash; the kernel log says more)" },
	{ VK_ERROR_INITIALIZATION_FAILED, -EIO, "the driver could not start" },
	{ VK_ERROR_MEMORY_MAP_FAILED, -ENOMEM, "device memory could not be mapped" },
	{ VK_ERROR_TOO_MANY_OBJECTS, -ENOMEM, "the driver allows no more objects" },
	{ VK_ERROR_LAYER_NOT_PRESENT, -ENOENT, "a requested layer is not installed" },
	{ VK_ERROR_EXTENSION_NOT_PRESENT, -ENOTSUP, "a required extension is missing" },
	{ VK_ERROR_FEATURE_NOT_PRESENT, -ENOTSUP, "a required feature is missing" },
	{ VK_ERROR_INCOMPATIBLE_DRIVER, -ENODEV, "no driver fits" },
};

int vk_result(VkResult r, const char *what, struct err *err)
{
	if (r == VK_SUCCESS)
		return 0;
	for (size_t i = 0; i < sizeof results / sizeof *results; i++)
		if (results[i].result == r)
			return err_set(err, results[i].code, "%s: %s", what, results[i].text);
	return err_set(err, -EIO, "%s: Vulkan error %d", what, (int)r);
}
