/*
 * The driver's compiled kernels on disk: a line that says what follows and its digest,
 * then what vkGetPipelineCacheData() gave. Files are replaced whole. GPU thread.
 */
#include "runner/vk/cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/settings.h"
#include "runner/vk/device.h"

static const char magic[] = "easel kernels 1 ";
enum { HEAD = sizeof magic - 1 + DIGEST_SIZE - 1 + 1 };         /* with the newline */

/* ---- where ---- */

static char *file_in(const char *folder, const VkPhysicalDeviceProperties *p)
{
	char uuid[2 * VK_UUID_SIZE + 1], *path;

	for (unsigned i = 0; i < VK_UUID_SIZE; i++)
		snprintf(uuid + 2 * i, 3, "%02x", p->pipelineCacheUUID[i]);
	if (asprintf(&path, "%s/kernels-%04x-%04x-%08x-%s", folder, p->vendorID, p->deviceID,
		     p->driverVersion, uuid) < 0)
		return NULL;
	return path;
}

/* ---- what ---- */

/* Of this driver and device: drivers are trusted to check the rest, not always the header. */
static bool is_ours(const void *data, size_t len, const VkPhysicalDeviceProperties *p)
{
	VkPipelineCacheHeaderVersionOne head;

	if (len < sizeof head)
		return false;
	memcpy(&head, data, sizeof head);
	return head.headerSize >= sizeof head && head.headerSize <= len &&
	       head.headerVersion == VK_PIPELINE_CACHE_HEADER_VERSION_ONE &&
	       head.vendorID == p->vendorID && head.deviceID == p->deviceID &&
	       !memcmp(head.pipelineCacheUUID, p->pipelineCacheUUID, VK_UUID_SIZE);
}

/* What is wrong with a file, or NULL; ret_digest is what its head claims. */
static const char *check(const char *text, size_t len, const VkPhysicalDeviceProperties *p,
			 char ret_digest[DIGEST_SIZE])
{
	char is[DIGEST_SIZE];

	if (len < HEAD || memcmp(text, magic, sizeof magic - 1) || text[HEAD - 1] != '\n')
		return "it is no file of kernels";
	memcpy(ret_digest, text + sizeof magic - 1, DIGEST_SIZE - 1);
	ret_digest[DIGEST_SIZE - 1] = '\0';
	digest_bytes(text + HEAD, len - HEAD, is);
	if (strcmp(is, ret_digest))
		return "it is damaged";
	return is_ours(text + HEAD, len - HEAD, p) ? NULL : "it is another driver's";
}

/* The file's bytes, head included, the caller's to free; NULL: nothing of use. */
static char *read_file(struct cache *c, const VkPhysicalDeviceProperties *p, size_t *ret_len)
{
	const char *wrong;
	struct err err;
	char *text;
	int r = file_load(c->path, LIMIT_KERNEL_CACHE, &text, ret_len, &err);

	if (r < 0) {
		if (r != -ENOENT)
			log_warn("compiled kernels are not read: %s", err.text);
		return NULL;
	}
	wrong = check(text, *ret_len, p, c->digest);
	if (!wrong)
		return text;
	log_warn("compiled kernels in %s are ignored: %s", c->path, wrong);
	c->digest[0] = '\0';
	free(text);
	return NULL;
}

static bool create(struct vk *vk, const void *data, size_t len)
{
	const VkPipelineCacheCreateInfo info = {
		.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
		.initialDataSize = len,
		.pInitialData = data,
	};

	return vkCreatePipelineCache(vk->device, &info, NULL, &vk->cache.handle) == VK_SUCCESS;
}

void cache_open_in(struct vk *vk, const char *folder)
{
	struct cache *c = &vk->cache;
	VkPhysicalDeviceProperties p;
	size_t len = 0;
	char *text;

	vkGetPhysicalDeviceProperties(vk->probe.physical, &p);
	c->path = file_in(folder, &p);
	if (!c->path)
		return;
	text = read_file(c, &p, &len);
	if (!(text && create(vk, text + HEAD, len - HEAD)) && !create(vk, NULL, 0))
		c->handle = VK_NULL_HANDLE;
	free(text);
}

void cache_open(struct vk *vk)
{
	char *where;

	if (vk->probe.info.type == VK_SOFTWARE)
		return;
	where = settings_cache_dir();
	if (where)
		cache_open_in(vk, where);
	free(where);
}

/* ---- saving ---- */

/* Head and data in one piece, the caller's to free; NULL when there is nothing to be had. */
static char *file_text(struct vk *vk, size_t *ret_len, char ret_digest[DIGEST_SIZE])
{
	char *text = NULL;
	size_t len = 0;

	if (vkGetPipelineCacheData(vk->device, vk->cache.handle, &len, NULL) == VK_SUCCESS &&
	    len && len <= LIMIT_KERNEL_CACHE - HEAD)
		text = malloc(HEAD + len);
	if (!text)
		return NULL;
	if (vkGetPipelineCacheData(vk->device, vk->cache.handle, &len, text + HEAD) != VK_SUCCESS) {
		free(text);
		return NULL;
	}
	digest_bytes(text + HEAD, len, ret_digest);
	memcpy(text, magic, sizeof magic - 1);
	memcpy(text + sizeof magic - 1, ret_digest, DIGEST_SIZE - 1);
	text[HEAD - 1] = '\n';
	*ret_len = HEAD + len;
	return text;
}

static void write_file(struct cache *c, const char *text, size_t len)
{
	struct err err;

	if (dir_make_parent(c->path, &err) < 0 || file_replace(c->path, text, len, &err) < 0) {
		log_warn("compiled kernels are not kept: %s", err.text);
		c->refused = true;
	}
}

void cache_save(struct vk *vk)
{
	struct cache *c = &vk->cache;
	char digest[DIGEST_SIZE], *text;
	size_t len;

	if (!c->handle || c->refused || vk->lost || c->kernels == vk->pipelines.n)
		return;
	c->kernels = vk->pipelines.n;
	text = file_text(vk, &len, digest);
	if (text && strcmp(digest, c->digest)) {
		write_file(c, text, len);
		memcpy(c->digest, digest, sizeof digest);
	}
	free(text);
}

void cache_finish(struct vk *vk)
{
	vkDestroyPipelineCache(vk->device, vk->cache.handle, NULL);
	free(vk->cache.path);
	memset(&vk->cache, 0, sizeof vk->cache);
}
