/*
 * The Vulkan instance and, with EASEL_VALIDATION=1, the validation layer with its
 * messages counted and logged. The layer may call back from any thread; the rest
 * belongs to the caller's.
 */
#include "runner/vk/instance.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "runner/vk/result.h"

static const char validation_layer[] = "VK_LAYER_KHRONOS_validation";

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
						 VkDebugUtilsMessageTypeFlagsEXT types,
						 const VkDebugUtilsMessengerCallbackDataEXT *data,
						 void *context)
{
	struct instance *i = context;

	(void)severity;
	(void)types;
	atomic_fetch_add(&i->messages, 1);
	log_error("validation: %s", data->pMessage);
	return VK_FALSE;
}

static VkDebugUtilsMessengerCreateInfoEXT messenger_info(struct instance *i)
{
	return (VkDebugUtilsMessengerCreateInfoEXT){
		.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
		.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
				   VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
		.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
		.pfnUserCallback = on_message,
		.pUserData = i,
	};
}

static int messenger_open(struct instance *i, struct err *err)
{
	const VkDebugUtilsMessengerCreateInfoEXT info = messenger_info(i);
	PFN_vkCreateDebugUtilsMessengerEXT create = (PFN_vkCreateDebugUtilsMessengerEXT)
		vkGetInstanceProcAddr(i->handle, "vkCreateDebugUtilsMessengerEXT");

	if (!create)
		return err_set(err, -ENOTSUP, "EASEL_VALIDATION: no VK_EXT_debug_utils");
	return vk_result(create(i->handle, &info, NULL, &i->messenger), "validation messenger", err);
}

static void messenger_close(struct instance *i)
{
	PFN_vkDestroyDebugUtilsMessengerEXT destroy;

	if (!i->messenger)
		return;
	destroy = (PFN_vkDestroyDebugUtilsMessengerEXT)
		vkGetInstanceProcAddr(i->handle, "vkDestroyDebugUtilsMessengerEXT");
	if (destroy)
		destroy(i->handle, i->messenger, NULL);
	i->messenger = VK_NULL_HANDLE;
}

static bool validation_wanted(void)
{
	const char *value = getenv("EASEL_VALIDATION");

	return value && !strcmp(value, "1");
}

static int instance_error(VkResult r, struct err *err)
{
	if (r == VK_ERROR_INCOMPATIBLE_DRIVER)
		return err_set(err, -ENODEV, "no Vulkan driver found: install your GPU's driver, or "
			       "mesa-vulkan-drivers (Debian) for Intel, AMD and software rendering");
	if (r == VK_ERROR_LAYER_NOT_PRESENT)
		return err_set(err, -ENOENT, "EASEL_VALIDATION=1: %s is not installed "
			       "(Debian: vulkan-validationlayers)", validation_layer);
	return vk_result(r, "Vulkan instance", err);
}

int instance_open(struct instance *i, struct err *err)
{
	const bool validation = validation_wanted();
	const VkDebugUtilsMessengerCreateInfoEXT messenger = messenger_info(i);
	const VkValidationFeatureEnableEXT enables[] = {
		VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT,
	};
	const VkValidationFeaturesEXT features = {
		.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
		.pNext = &messenger,
		.enabledValidationFeatureCount = sizeof enables / sizeof *enables,
		.pEnabledValidationFeatures = enables,
	};
	const VkApplicationInfo app = {
		.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
		.pApplicationName = "easel",
		.apiVersion = VK_API_VERSION_1_2,
	};
	const char *const layers[] = { validation_layer };
	const char *const extensions[] = { VK_EXT_DEBUG_UTILS_EXTENSION_NAME };
	const VkInstanceCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
		.pNext = validation ? &features : NULL,
		.pApplicationInfo = &app,
		.enabledLayerCount = validation,
		.ppEnabledLayerNames = layers,
		.enabledExtensionCount = validation,
		.ppEnabledExtensionNames = extensions,
	};
	VkResult r;

	memset(i, 0, sizeof *i);
	r = vkCreateInstance(&info, NULL, &i->handle);
	if (r != VK_SUCCESS) {
		i->handle = VK_NULL_HANDLE;
		return instance_error(r, err);
	}
	return validation ? messenger_open(i, err) : 0;
}

#ifdef __SANITIZE_ADDRESS__
/*
 * What a driver keeps in its static data looks leaked once it is unloaded (128 bytes of
 * Mesa 22.3's software driver, on some machines): it stays.
 */
static int keep_loaded(struct dl_phdr_info *info, size_t size, void *unused)
{
	(void)size;
	(void)unused;
	if (*info->dlpi_name)
		dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
	return 0;
}

static void keep_drivers(void)
{
	dl_iterate_phdr(keep_loaded, NULL);
}
#else
static void keep_drivers(void)
{
}
#endif

void instance_close(struct instance *i)
{
	if (!i->handle)
		return;
	messenger_close(i);
	keep_drivers();
	vkDestroyInstance(i->handle, NULL);
	i->handle = VK_NULL_HANDLE;
}
