/*
 * Opens and closes the device of a test program.
 */
#include "tests/ops/vk/device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* The layer itself loses memory with every command list: sanitized builds do without. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

struct vk *device_open(void)
{
	struct vk *vk = NULL;
	struct err err = { 0 };
	int r;

	setenv("EASEL_VALIDATION", SANITIZED ? "0" : "1", 1);
	r = vk_open(NULL, &vk, &err);
	if (r == -ENOENT) {
		printf("# not validated: %s\n", err.text);
		unsetenv("EASEL_VALIDATION");
		r = vk_open(NULL, &vk, &err);
	}
	if (r == 0)
		return vk;
	printf("# %s: %s\n", r == -ENODEV ? "skipped" : "failed", err.text);
	exit(r == -ENODEV ? 77 : 1);
}

int device_close(struct vk **vk, int result)
{
	const unsigned messages = vk_validation_messages(*vk);

	vk_close(vk);
	if (messages)
		printf("# %u messages of the validation layer\n", messages);
	return result || messages;
}
