#ifndef EASEL_RUNNER_VAE_VAE_H
#define EASEL_RUNNER_VAE_VAE_H

#include <jansson.h>

#include "runner/graph/graph.h"
#include "runner/weights.h"

struct vae_class {
	int (*create)(const json_t *config, void **ret, struct err *err);
	void (*free)(void *self);
	void (*bind)(void *self, struct weights *w);
	uint32_t (*latent_channels)(const void *self);
	/* Adds the decoder for one latent (or tile) of h x w; the result is [8h * 8w, 3]. */
	T (*build_decode)(const void *self, struct graph *g, uint32_t h, uint32_t w, T *ret_latent);
	/*
	 * latent [channels, h, w] as the sampler left it -> the input of build_decode()
	 * (scaling, shift, transposed). 0 or -ENOMEM.
	 */
	int (*feed)(const void *self, struct graph *g, T input, const float *latent);
};
extern const struct vae_class autoencoder_kl;

#endif
