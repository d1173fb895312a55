#ifndef EASEL_RUNNER_IMAGE_H
#define EASEL_RUNNER_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

/* pixel = round half to even(clamp(x / 2 + 0.5, 0, 1) * 255); x [h*w, 3] in -1..1. */
void image_from_float(const float *x, uint32_t width, uint32_t height, uint8_t *rgb);
/* 8-bit RGB PNG appended to out; deflate level 6, adaptive filters. */
int image_write_png(const uint8_t *rgb, uint32_t width, uint32_t height, struct buf *out,
		    struct err *err);

#endif
