#ifndef EASEL_RUNNER_PIPELINE_PRIVATE_H
#define EASEL_RUNNER_PIPELINE_PRIVATE_H

#include "runner/family.h"
#include "runner/image/image.h"
#include "runner/noise.h"
#include "runner/pipeline.h"
#include "runner/sampler/sampler.h"
#include "runner/stage.h"
#include "runner/step_cache.h"
#include "runner/text_encoder/text_encoder.h"
#include "runner/tokenizer/bpe.h"
#include "runner/transformer/transformer.h"
#include "runner/vae/latent_rgb.h"
#include "runner/vae/vae.h"
#include "runner/weights.h"

enum { PASSES = MAX_CAPTIONS };                 /* prompt, negative prompt */

/* The captions of the prompts used last; see captions_find(). Zeroed: none. */
struct captions {
	struct kept_caption *first;             /* the latest */
};

struct pipeline {
	struct workshop shop;
	struct family_parts parts;
	struct bpe *tokenizer;
	struct weights *weights;
	struct pipeline_defaults defaults;
	struct stage_set text, cond, step, skim, decode, encode;
	struct captions captions;
	uint64_t default_workspace;
	struct pipeline_drawn drawn;            /* of the last picture */
	uint64_t vae_budget;                    /* arena bytes; 0: the device's */
};

/* A prompt as the transformer takes it. */
struct caption {
	float *refined;                         /* [rows, cols] */
	uint32_t rows, cols;
	uint32_t n_tokens;                      /* of the prompt, no padding */
	const char *prefix;                     /* of tap names: "" or "negative." */
};

/* A prompt as the text encoder takes it. */
struct prompt_ids {
	uint32_t id[LIMIT_PROMPT_TOKENS];
	uint32_t n, n_seen;                     /* all; those that are no padding */
};

/* Configs, tokenizer and weights of a manifest into p (zeroed but for shop.vk). */
int pipeline_load(struct pipeline *p, struct store *s, const struct manifest *m,
		  const struct pipeline_loading *loading, struct err *err);

/* -EINVAL for a prompt that the model cannot take; caption_finish() frees. */
int caption_encode(struct pipeline *p, const char *prompt, const struct canvas *canvas,
		   struct caption *ret, struct err *err);
void caption_finish(struct caption *c);
/* The prompt's caption among those kept; one that cannot be had is told when it is drawn. */
void caption_prepare(struct pipeline *p, const char *prompt);

/* A copy of the caption of these ids into *ret; false when none is kept. */
bool captions_find(struct captions *c, const struct prompt_ids *ids, struct caption *ret);
/* Keeps a copy, and lets go of the oldest while all take too much. */
void captions_keep(struct captions *c, const struct prompt_ids *ids, const struct caption *caption);
void captions_drop(struct captions *c);

/* One picture on its way: what a request became. Owns what it points to. */
struct drawing {
	const struct pipeline_request *request;
	struct canvas canvas;
	struct noise noise;                     /* the generator of the request's seed */
	bool guided;                            /* guidance has an effect */
	double strength;                        /* 1 without a picture to start from */
	bool starts;                            /* from the request's first picture */
	unsigned first_reference;               /* of the request's pictures */
	struct image original;                  /* that first picture at the output's size */
	struct image reference_image[LIMIT_INPUT_IMAGES];
	struct image mask;                      /* at the output's size; no pixels without one */
	float *start;                           /* its latent [channels, h, w], or NULL */
	float *keep;                            /* [h, w]: 1 where start is kept; NULL without mask */
	float *reference[LIMIT_INPUT_IMAGES];   /* latents */
	struct caption cond, uncond;
	float *latent;                          /* [channels, h, w] */
	size_t n;                               /* of a latent */
};
/* Sizes and pictures brought to them; nothing runs on the device. -EINVAL, -ENOMEM. */
int drawing_plan(struct pipeline *p, const struct pipeline_request *r, struct drawing *ret,
		 struct err *err);
/* Whether a scale has an effect on this model. */
bool guidance_works(const struct pipeline *p, double guidance);
/* Its pictures as latents. */
int drawing_encode(struct pipeline *p, struct drawing *d, struct err *err);
/* What the mask keeps becomes the original's pixels again. */
void drawing_paste(const struct drawing *d, uint8_t *rgb);
void drawing_finish(struct drawing *d);
/* Steps that are left out because of the strength. */
uint32_t drawing_first_step(const struct drawing *d);

/* Noise, or the noised start, to d->latent. */
int denoise(struct pipeline *p, struct drawing *d, struct err *err);

/*
 * What x0 [channels, h, w], an estimate of the finished latent, looks like: RGB, a pixel for
 * each of the VAE's own positions by the model's latent_rgb, else small and by the VAE.
 */
int preview_latent(struct pipeline *p, const float *x0, uint32_t h, uint32_t w,
		   struct image *ret, struct err *err);
/* After that many of n_steps one of `wanted` previews is due: evenly spread, none at the ends. */
bool preview_is_due(uint32_t done, uint32_t n_steps, unsigned wanted);

/* The evaluations for one caption, step after step. */
struct pass {
	const struct caption *caption;
	float *velocity;                        /* [channels, h, w], of the last step */
	struct step_cache cache;
	float *change;                          /* TeaCache: [n_hidden], of the last computed step */
};
/* Those of one picture. Lives as long as its drawing. */
struct evaluator {
	struct pipeline *p;
	const struct drawing *d;
	struct step_cache_rule rule;
	uint32_t first;                         /* step */
	struct pass pass[PASSES];
	struct stage *skim;                     /* that ran last */
	float *signal[2];                       /* TeaCache: [n_hidden], now and a step before */
	size_t n_hidden;                        /* floats of the picture's hidden state */
	float *spared;                          /* TeaCache: the velocity that a reuse would give */
	uint32_t steps_reused;                  /* without any evaluation */
	bool batches;                           /* all passes go in one evaluation */
};
struct moment {
	uint32_t step;
	float sigma;
	const float *latent;                    /* [channels, h, w] */
};
int evaluator_open(struct evaluator *e, struct pipeline *p, const struct drawing *d,
		   struct err *err);
void evaluator_finish(struct evaluator *e);
/* Velocities of the prompt, and with 2 passes of the negative prompt, to pass[].velocity. */
int evaluate(struct evaluator *e, unsigned n_passes, const struct moment *at, struct err *err);
/*
 * Arena bytes of an evaluation for so many captions of n_text rows: both at once where the
 * device has room for that.
 */
int evaluate_plan(struct pipeline *p, const struct canvas *c, unsigned n_captions, uint32_t n_text,
		  uint64_t *ret, struct err *err);

/*
 * h and w count positions of the sampler's latent; scale is the VAE's. Both ways go in
 * tiles when the whole does not fit this device.
 *
 * Latent [channels, h, w] to pixels [scale*h * scale*w, 3] in -1..1.
 */
int decode_latent(struct pipeline *p, const float *latent, uint32_t h, uint32_t w, float *pixels,
		  struct err *err);
/* The widest tile that fits (h or w for the whole), and its arena bytes. */
int decode_plan(struct pipeline *p, uint32_t h, uint32_t w, uint32_t *ret_side, uint64_t *ret_bytes,
		struct err *err);
/*
 * Pixels [scale*h * scale*w, 3] in -1..1 to latent [channels, h, w]; noise as latent_of()
 * takes it, or NULL. Only when the VAE can_encode().
 */
int encode_picture(struct pipeline *p, const float *pixels, uint32_t h, uint32_t w,
		   const float *noise, float *ret_latent, struct err *err);
int encode_plan(struct pipeline *p, uint32_t h, uint32_t w, uint32_t *ret_side, uint64_t *ret_bytes,
		struct err *err);

#endif
