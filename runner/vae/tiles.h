#ifndef EASEL_RUNNER_VAE_TILES_H
#define EASEL_RUNNER_VAE_TILES_H

#include <stdint.h>

#include "common/err.h"

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* A part of the whole, in positions (of the sampler's latent). */
struct tile {
	uint32_t y, x, h, w;
};

struct tile_grid {
	uint32_t side;                          /* of one tile, in positions; cut: a multiple of 4 */
	uint32_t h, w;                          /* of the whole, in positions */
	uint32_t scale, channels;               /* results a side of one position; numbers of one */
};

/* Makes the results of one tile: [scale * h * scale * w, channels]. */
typedef int (*tile_work)(void *context, const struct tile *t, float *ret, struct err *err);

/*
 * The whole [scale * h * scale * w, channels] from tiles that overlap by a quarter and
 * are blended there. A side that covers the whole makes one tile of it. -ENOMEM, or what
 * work() gave.
 */
int tiles_run(const struct tile_grid *grid, tile_work work, void *context, float *ret,
	      struct err *err);

#endif
