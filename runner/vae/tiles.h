#ifndef EASEL_RUNNER_VAE_TILES_H
#define EASEL_RUNNER_VAE_TILES_H

#include <stdint.h>

#include "common/err.h"

/* A part of the latent, in latents; each becomes VAE_SCALE pixels a side. */
struct tile {
	uint32_t y, x, h, w;
};
enum { VAE_SCALE = 8 };

/* Decodes one tile into pixels [VAE_SCALE * h * VAE_SCALE * w, 3]. */
typedef int (*tile_decode)(void *context, const struct tile *t, float *pixels, struct err *err);

/*
 * The whole picture [VAE_SCALE * h * VAE_SCALE * w, 3] from tiles of side latents that
 * overlap by a quarter and are blended there. A side
 * that covers the latent decodes it whole. -ENOMEM, or what decode() gave.
 */
int tiles_decode(uint32_t side, uint32_t h, uint32_t w, tile_decode decode, void *context,
		 float *pixels, struct err *err);

#endif
