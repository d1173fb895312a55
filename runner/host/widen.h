#ifndef EASEL_RUNNER_HOST_WIDEN_H
#define EASEL_RUNNER_HOST_WIDEN_H

#include <stddef.h>
#include <stdint.h>

#include "common/dtype.h"

/* n F32, F16 or BF16 elements at any byte address to float32. */
void host_widen(enum dtype t, const void *src, float *dst, size_t n);

/* The other way, to nearest, ties to even; a NaN stays one. */
void host_round_bf16(const float *src, uint16_t *dst, size_t n);

#endif
