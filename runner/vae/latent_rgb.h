#ifndef EASEL_RUNNER_VAE_LATENT_RGB_H
#define EASEL_RUNNER_VAE_LATENT_RGB_H

#include <jansson.h>
#include <stdint.h>

#include "common/err.h"

/*
 * A linear guess at what a VAE makes of a latent, which a model may bring as
 * vae/latent_rgb.json (scripts/fit_latent_rgb.py):
 *
 *	{"matrix": [[channels numbers], ...], "offset": [...]}
 *
 * One row and one number for each red, green and blue of the pack x pack own positions
 * below one of the sampler's, row by row; results are in -1..1.
 */
struct latent_rgb;

/* NULL for no file. -EINVAL with what is wrong; latent_rgb_free() takes NULL, too. */
int latent_rgb_create(const json_t *file, uint32_t channels, uint32_t pack,
		      struct latent_rgb **ret, struct err *err);
void latent_rgb_free(struct latent_rgb *m);
/* latent [channels, h, w] -> pixels [pack*h * pack*w, 3]. */
void latent_rgb_project(const struct latent_rgb *m, const float *latent, uint32_t h, uint32_t w,
			float *ret);

#endif
