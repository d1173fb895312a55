#ifndef EASEL_RUNNER_VK_CACHE_H
#define EASEL_RUNNER_VK_CACHE_H

#include <vulkan/vulkan.h>

#include "common/digest.h"
#include "runner/vk/vk.h"

/* What the driver made of kernels, kept in a file per driver and device. */
struct cache {
	VkPipelineCache handle;                 /* NULL: compiling goes without */
	char *path;                             /* of its file */
	char digest[DIGEST_SIZE];               /* of what the file holds; "": nothing of use */
	size_t kernels;                         /* when it was last looked at */
	bool refused;                           /* the file cannot be written: said once */
};

/*
 * Reads the file of vk's device in EASEL_CACHE_DIR, XDG_CACHE_HOME/easel or
 * ~/.cache/easel. None for software devices: theirs is empty, and Mesa keeps its own.
 * Nothing here fails: without a file, or with a damaged or foreign one, kernels are
 * compiled.
 */
void cache_open(struct vk *vk);
/* The same in this folder, for any device. */
void cache_open_in(struct vk *vk, const char *folder);
/* Writes the file when there is something new. */
void cache_save(struct vk *vk);
void cache_finish(struct vk *vk);               /* zeroed is fine */

#endif
