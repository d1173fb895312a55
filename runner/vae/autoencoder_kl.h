#ifndef EASEL_RUNNER_VAE_AUTOENCODER_KL_H
#define EASEL_RUNNER_VAE_AUTOENCODER_KL_H

#include "runner/nn/nn.h"
#include "runner/vae/vae.h"

/*
 * The insides of AutoencoderKL and AutoencoderKLFlux2, which are one network; the second
 * packs its latent 2 x 2 and normalises it by recorded statistics.
 */
enum {
	AKL_BLOCKS = 4,                         /* three of them halve or double: VAE_EIGHTH */
	AKL_RESNETS = 17,                       /* at most, in one block */
	AKL_RGB = 3,
};

struct akl_norm {
	struct weight weight, bias;
};

struct akl_resnet {
	struct akl_norm norm1, norm2;
	struct linear conv1, conv2;
	struct linear shortcut;                 /* 1x1, only when channels change */
};

struct akl_block {
	struct akl_resnet resnets[AKL_RESNETS];
	uint32_t n_resnets;
	struct linear sampler;                  /* 3x3, doubles or halves; not in the last block */
};

struct akl_mid_block {
	struct akl_resnet resnets[2];
	struct akl_norm norm;
	struct linear q, k, v, out;
};

/* The encoder, or the decoder. */
struct akl_coder {
	const char *name;                       /* of its tensors and taps */
	const char *blocks_name;
	enum conv_size sampler_size;
	struct linear conv_in, conv_out;
	struct akl_norm norm_out;
	struct akl_mid_block mid;
	struct akl_block blocks[AKL_BLOCKS];    /* in the order of the data */
};

struct autoencoder_kl {
	/* The config. */
	uint32_t latent_channels, in_channels, out_channels, layers_per_block, groups;
	double scaling_factor, shift_factor;    /* AutoencoderKL */
	double batch_norm_eps;                  /* AutoencoderKLFlux2 */
	bool use_quant_conv, use_post_quant_conv, mid_attention;
	char *act_fn;
	json_t *channels_json, *decoder_channels_json, *down_types_json, *up_types_json;
	json_t *mean_json, *std_json, *patch_json;
	uint32_t channels[AKL_BLOCKS], decoder_channels[AKL_BLOCKS];

	uint32_t pack;                          /* own positions a side of one of the sampler's */
	/* Per channel of the sampler's latent; NULL: scaling and shift of the config instead. */
	float *mean, *deviation;

	bool has_encoder;
	struct akl_coder encoder, decoder;
	struct linear quant_conv, post_quant_conv;      /* 1x1, rank 0 when not used */
};

/* The network: autoencoder_kl.c. */
T akl_build_decode(const void *self, struct graph *g, uint32_t h, uint32_t w, T *ret_latent);
T akl_build_encode(const void *self, struct graph *g, uint32_t h, uint32_t w, T *ret_pixels);

/* Latents on the host: autoencoder_kl_latents.c. */
int akl_feed_decode(const void *self, struct graph *g, T input, const float *latent, uint32_t h,
		    uint32_t w);
void akl_latent_of(const void *self, const float *moments, uint32_t h, uint32_t w,
		   const float *noise, float *ret_latent);

#endif
