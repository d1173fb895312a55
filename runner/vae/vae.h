#ifndef EASEL_RUNNER_VAE_VAE_H
#define EASEL_RUNNER_VAE_VAE_H

#include <jansson.h>

#include "runner/graph/graph.h"
#include "runner/weights.h"

/*
 * Pictures to latents and back. h and w count positions of the sampler's latent, here
 * and in all that calls this; the VAE's own latent ("eighths") has one position for
 * 8 x 8 pixels, so scale / 8 of them a side for one of the sampler's.
 */
struct vae_class {
	uint32_t scale;                 /* pixels a side of one position: 8, or 16 where packed 2 x 2 */
	/* The latent of a picture is drawn from the encoder's distribution, else its mean. */
	bool samples;
	int (*create)(const json_t *config, void **ret, struct err *err);
	void (*free)(void *self);
	void (*bind)(void *self, struct weights *w);    /* parts WEIGHTS_PICTURE and, to encode, WEIGHTS_ENCODER */
	uint32_t (*latent_channels)(const void *self);  /* of the sampler's latent */
	/* Adds the decoder for one latent (or tile); the result is [scale*h * scale*w, 3]. */
	T (*build_decode)(const void *self, struct graph *g, uint32_t h, uint32_t w, T *ret_latent);
	/* latent [channels, h, w] as the sampler left it -> build_decode()'s input. 0 or -ENOMEM. */
	int (*feed_decode)(const void *self, struct graph *g, T input, const float *latent,
			   uint32_t h, uint32_t w);
	bool (*can_encode)(const void *self);           /* after bind(): the model brings an encoder */
	/*
	 * Adds the encoder: pixels [scale*h * scale*w, 3] in -1..1 -> moments [eighths,
	 * 2 * the VAE's own latent channels], mean, then logarithm of the variance. Only when
	 * can_encode().
	 */
	T (*build_encode)(const void *self, struct graph *g, uint32_t h, uint32_t w, T *ret_pixels);
	/*
	 * Moments of the whole picture -> the sampler's latent [channels, h, w]: of the mean,
	 * or of mean + deviation * noise where noise [own channels, eighths] is given.
	 */
	void (*latent_of)(const void *self, const float *moments, uint32_t h, uint32_t w,
			  const float *noise, float *ret_latent);
};
extern const struct vae_class autoencoder_kl, autoencoder_kl_flux2;

enum { VAE_EIGHTH = 8 };                        /* pixels a side of the VAE's own positions */
/* Own positions a side of one of the sampler's. */
static inline uint32_t vae_pack(const struct vae_class *c) { return c->scale / VAE_EIGHTH; }
/* Columns of build_encode()'s result. */
static inline uint32_t vae_moments(const struct vae_class *c, const void *self)
{
	return 2 * c->latent_channels(self) / (vae_pack(c) * vae_pack(c));
}

#endif
