#ifndef EASEL_RUNNER_HOST_WIDEN_H
#define EASEL_RUNNER_HOST_WIDEN_H

#include <stddef.h>

#include "common/dtype.h"

/* n F32, F16 or BF16 elements at any byte address to float32. */
void host_widen(enum dtype t, const void *src, float *dst, size_t n);

#endif
