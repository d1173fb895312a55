/*
 * Between the sampler's latent and the VAE's own: packing, normalisation, drawing from
 * the encoder's distribution. Host arithmetic in the reference's order of float32
 * operations; owns nothing. GPU thread.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "runner/vae/autoencoder_kl.h"

/* What bounds the logarithm of a variance when a latent is drawn. */
static const float logvar_min = -30, logvar_max = 20;

/* Where a number of the sampler's latent is among the VAE's own. */
struct place {
	size_t position;                        /* of the eighths */
	uint32_t channel;
};

/* Channel k of the sampler's latent is channel k / 4, row k / 2 % 2, column k % 2 of a 2 x 2. */
static struct place place_of(const struct autoencoder_kl *m, uint32_t k, uint32_t y, uint32_t x,
			     uint32_t w)
{
	const uint32_t pack = m->pack;

	return (struct place){
		.position = ((size_t)y * pack + k / pack % pack) * w * pack + (size_t)x * pack +
			k % pack,
		.channel = k / (pack * pack),
	};
}

static float to_own(const struct autoencoder_kl *m, uint32_t k, float x)
{
	if (m->mean)
		return x * m->deviation[k] + m->mean[k];
	return x / (float)m->scaling_factor + (float)m->shift_factor;
}

static float to_sampler(const struct autoencoder_kl *m, uint32_t k, float x)
{
	if (m->mean)
		return (x - m->mean[k]) / m->deviation[k];
	return (x - (float)m->shift_factor) * (float)m->scaling_factor;
}

int akl_feed_decode(const void *self, struct graph *g, T input, const float *latent, uint32_t h,
		    uint32_t w)
{
	const struct autoencoder_kl *m = self;
	const uint32_t channels = m->latent_channels * m->pack * m->pack;
	float *own = calloc(input.rows, input.cols * sizeof *own);
	uint32_t k, y, x;

	if (!own)
		return -ENOMEM;
	for (k = 0; k < channels; k++)
		for (y = 0; y < h; y++)
			for (x = 0; x < w; x++) {
				struct place p = place_of(m, k, y, x, w);

				own[p.position * m->latent_channels + p.channel] =
					to_own(m, k, *latent++);
			}
	graph_write(g, input, own);
	free(own);
	return 0;
}

static float deviation_of(float logvar)
{
	return expf(0.5f * fminf(fmaxf(logvar, logvar_min), logvar_max));
}

void akl_latent_of(const void *self, const float *moments, uint32_t h, uint32_t w,
		   const float *noise, float *ret_latent)
{
	const struct autoencoder_kl *m = self;
	const uint32_t own = m->latent_channels;
	const size_t positions = (size_t)h * m->pack * w * m->pack;
	uint32_t k, y, x;

	for (k = 0; k < own * m->pack * m->pack; k++)
		for (y = 0; y < h; y++)
			for (x = 0; x < w; x++) {
				struct place p = place_of(m, k, y, x, w);
				const float *mean = moments + p.position * 2 * own + p.channel;
				float v = *mean;

				if (noise)
					v += deviation_of(mean[own]) *
						noise[p.channel * positions + p.position];
				*ret_latent++ = to_sampler(m, k, v);
			}
}
