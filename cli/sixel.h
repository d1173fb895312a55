#ifndef EASEL_CLI_SIXEL_H
#define EASEL_CLI_SIXEL_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

/*
 * Pixels (rows of RGB, top to bottom) as a sixel image of a fixed palette, dithered. out
 * fails when it is too small.
 */
void sixel_put(const uint8_t *rgb, unsigned width, unsigned height, struct buf *out);
/*
 * The same of a PNG, made smaller where it exceeds max_width or max_height (both > 0). 0,
 * -EINVAL for what is no PNG of at most LIMIT_SIDE pixels a side, or -ENOMEM.
 */
int sixel_put_png(const void *png, size_t len, unsigned max_width, unsigned max_height,
		  struct buf *out);

#endif
