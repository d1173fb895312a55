#ifndef EASEL_RUNNER_TRANSFORMER_FLUX2_H
#define EASEL_RUNNER_TRANSFORMER_FLUX2_H

#include "runner/nn/nn.h"
#include "runner/weights.h"

/* What flux2_load.c reads and flux2.c computes with. No linear layer has a bias. */

enum {
	FLUX2_AXES = 4,                         /* reference, row, column, word */
	FLUX2_FREQUENCIES = 1 << 12,            /* at most, of the timestep */
};

struct stream {                                 /* the picture's or the text's half of a block */
	struct linear q, k, v, out;
	struct weight norm_q, norm_k;           /* per head */
	struct weight ff_in;                    /* gate and up, stacked */
	struct swiglu ff;
};

struct double_block {
	struct stream img, txt;
};

struct single_block {
	struct weight in;                       /* q, k, v, gate, up, stacked */
	struct linear q, k, v, gate, up;        /* rows of it */
	struct weight norm_q, norm_k;
	struct linear out;                      /* over [attention, gated] */
};

struct flux2 {
	uint32_t n_layers, n_single_layers, n_heads, head_dim, joint_attention_dim, in_channels;
	uint32_t timestep_channels, patch_size;
	double mlp_ratio, rope_theta, eps;
	bool guidance_embeds;
	json_t *axes_dims_json, *out_channels_json;
	/* from these */
	uint32_t axes_dims[FLUX2_AXES];
	uint32_t dim, ffn;
	/* weights */
	struct linear x_embedder, context_embedder, time_embedder[2];
	struct linear modulation_img, modulation_txt, modulation_single, norm_out, proj_out;
	struct double_block *double_blocks;
	struct single_block *single_blocks;
};

/* Members of transformer_class. */
int flux2_create(const json_t *config, void **ret, struct err *err);
void flux2_free(void *self);
void flux2_bind(void *self, struct weights *w);

#endif
