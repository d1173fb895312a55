#ifndef EASEL_RUNNER_TRANSFORMER_ZIMAGE_H
#define EASEL_RUNNER_TRANSFORMER_ZIMAGE_H

#include "runner/nn/nn.h"
#include "runner/weights.h"

/* What zimage_load.c reads and zimage.c computes with. */

enum {
	ZIMAGE_PATCH = 2,
	ZIMAGE_FREQUENCIES = 256,               /* of the timestep, cosines and sines */
	ZIMAGE_AXES = 3,                        /* frame, row, column */
};

struct block {
	struct weight attention_norm1, attention_norm2, ffn_norm1, ffn_norm2;
	struct attention attention;
	struct swiglu ffn;
	struct linear adaln;                    /* absent in the context refiner */
};

struct zimage {
	uint32_t dim, n_layers, n_refiner_layers, n_heads, n_kv_heads;
	uint32_t in_channels, cap_feat_dim;
	double norm_eps, rope_theta, t_scale;
	bool qk_norm;
	json_t *axes_dims_json, *axes_lens_json, *patch_json, *f_patch_json, *siglip_json;
	/* from these */
	uint32_t axes_dims[ZIMAGE_AXES], axes_lens[ZIMAGE_AXES];
	uint32_t head_dim, ffn, modulation, patch_features;
	/* weights */
	struct linear x_embedder, cap_embedder, t_embedder[2], final_linear, final_adaln;
	struct weight cap_norm, x_pad_token, cap_pad_token;
	struct block *noise_refiner, *context_refiner, *layers;
};

/* Members of transformer_class. */
int zimage_create(const json_t *config, void **ret, struct err *err);
void zimage_free(void *self);
void zimage_bind(void *self, struct weights *w);

#endif
