#ifndef EASEL_RUNNER_VK_SELECT_H
#define EASEL_RUNNER_VK_SELECT_H

#include <stddef.h>

#include "runner/vk/probe.h"

/* The device that vk_open(selector) means; -ENODEV says which there are or what they lack. */
int device_select(const struct probe *list, size_t n, const char *selector,
		  const struct probe **ret, struct err *err);

#endif
