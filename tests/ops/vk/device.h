#ifndef EASEL_TESTS_OPS_VK_DEVICE_H
#define EASEL_TESTS_OPS_VK_DEVICE_H

#include "runner/vk/vk.h"

/*
 * The device under test, with the validation layer where it is installed. Ends the
 * process with 77 and a reason when there is no device.
 */
struct vk *device_open(void);
/* 0, or 1 and a line when the layer said something or result is not 0. */
int device_close(struct vk **vk, int result);

#endif
