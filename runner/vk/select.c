/*
 * Which device to use: by number, by part of a name, or the best of its kind. Pure.
 */
#include "runner/vk/select.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct probe *by_index(const struct probe *list, size_t n, unsigned long index)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].info.index == index)
			return &list[i];
	return NULL;
}

/* The first usable one of that name, else the first of that name. */
static const struct probe *by_name(const struct probe *list, size_t n, const char *part)
{
	const struct probe *found = NULL;

	for (size_t i = 0; i < n; i++) {
		if (!strcasestr(list[i].info.name, part))
			continue;
		if (list[i].info.usable)
			return &list[i];
		if (!found)
			found = &list[i];
	}
	return found;
}

static bool is_number(const char *s)
{
	for (; *s; s++)
		if (!isdigit((unsigned char)*s))
			return false;
	return true;
}

/* enum vk_type is in order of preference. */
static bool better(const struct vk_device_info *a, const struct vk_device_info *b)
{
	if (a->type != b->type)
		return a->type < b->type;
	return a->memory_available > b->memory_available;
}

static const struct probe *best(const struct probe *list, size_t n)
{
	const struct probe *found = NULL;

	for (size_t i = 0; i < n; i++)
		if (list[i].info.usable && (!found || better(&list[i].info, &found->info)))
			found = &list[i];
	return found;
}

/* "0 NVIDIA ..., 1 llvmpipe ...", cut where the buffer ends. */
static void list_names(const struct probe *list, size_t n, char *text, size_t size)
{
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < n && at < size; i++) {
		const int len = snprintf(text + at, size - at, "%s%u %s", i ? ", " : "",
					 list[i].info.index, list[i].info.name);

		at += len > 0 ? (size_t)len : 0;
	}
}

static int no_such_device(const struct probe *list, size_t n, const char *selector, struct err *err)
{
	char names[300];

	list_names(list, n, names, sizeof names);
	return err_set(err, -ENODEV, "no Vulkan device fits EASEL_DEVICE '%.60s'; there %s: %s", selector,
		       n == 1 ? "is" : "are", names);
}

static int not_usable(const struct probe *p, struct err *err)
{
	return err_set(err, -ENODEV, "the Vulkan device %u, %.120s (%.100s), lacks %.120s", p->info.index,
		       p->info.name, p->info.driver, p->info.missing);
}

int device_select(const struct probe *list, size_t n, const char *selector,
		  const struct probe **ret, struct err *err)
{
	const bool any = !selector || !*selector;
	const struct probe *found;

	if (!n)
		return err_set(err, -ENODEV, "no Vulkan device found (GGML_VK_VISIBLE_DEVICES leaves out "
			       "devices if set): install your GPU's driver, or mesa-vulkan-drivers "
			       "(Debian) for Intel, AMD and software rendering");
	if (any)
		found = best(list, n);
	else if (is_number(selector))
		found = by_index(list, n, strtoul(selector, NULL, 10));
	else
		found = by_name(list, n, selector);

	if (!found)
		return any ? not_usable(&list[0], err) : no_such_device(list, n, selector, err);
	if (!found->info.usable)
		return not_usable(found, err);
	*ret = found;
	return 0;
}
