#ifndef EASEL_RUNNER_TRANSFORMER_TRANSFORMER_H
#define EASEL_RUNNER_TRANSFORMER_TRANSFORMER_H

#include <jansson.h>

#include "common/limits.h"
#include "runner/graph/graph.h"
#include "runner/weights.h"

/* Sizes of what is denoised and of what it refers to, in positions of the sampler's latent. */
struct canvas {
	uint32_t h, w;
	unsigned n_references;
	struct { uint32_t h, w; } reference[LIMIT_INPUT_IMAGES];
};

struct sampling_defaults {
	uint32_t steps;
	double guidance;
};

/* Captions that one evaluation can take: prompt and negative prompt. */
enum { MAX_CAPTIONS = 2 };
/*
 * What an evaluation's graph gives. Hidden states are the picture's tokens only, all as
 * wide; those before the blocks know no caption.
 */
struct evaluation {
	T out;                          /* for velocity(), of all captions */
	T before, after[MAX_CAPTIONS];  /* hidden state around the blocks; no outputs yet */
};
/*
 * What TeaCache computes at every step, next to nothing beside the blocks: an evaluation
 * with an input in their place.
 */
struct skim {
	T out;                          /* for velocity() */
	T signal;                       /* the first block's modulated input; an output */
	T change;                       /* input: what the blocks add to the hidden state */
};

/* What a family's transformer wants and gives; one file per family fills it. */
struct transformer_class {
	const char *prompt_prefix, *prompt_suffix;      /* chat template around the user's text */
	const uint32_t *text_layers;    /* of the text encoder, 0 at the end; NULL: the last but one */
	const char *cond_key;           /* config key of cond_width() */
	bool pads_prompt;               /* to LIMIT_PROMPT_TOKENS; the padding is seen here */
	uint32_t default_side;
	struct sampling_defaults defaults[2];           /* of undistilled models, of distilled ones */
	unsigned max_references;        /* pictures to edit; 0: pictures only start the drawing */
	double default_strength;        /* of those */
	double guidance_base;           /* the scale from which on guidance has an effect */

	int (*create)(const json_t *config, void **ret, struct err *err);
	void (*free)(void *self);
	void (*bind)(void *self, struct weights *w);    /* parts WEIGHTS_CAPTION, of build_cond(), and WEIGHTS_PICTURE */
	uint32_t (*latent_channels)(const void *self);
	uint32_t (*cond_width)(const void *self);
	/* Tokens of a picture, without padding. */
	uint32_t (*image_tokens)(const void *self, uint32_t latent_h, uint32_t latent_w);
	/* -EINVAL when the canvas or n_text are beyond what the model's tables cover. */
	int (*check_size)(const void *self, const struct canvas *c, uint32_t n_text,
			  struct err *err);

	/*
	 * The step-independent part: caption embedding and context refiner. cond is an input
	 * [n_text, cond_width]; refined has as many rows as build() is told. NULL without
	 * memory; the caller frees.
	 */
	void *(*build_cond)(const void *self, struct graph *g, uint32_t n_text, T *ret_cond,
			    T *ret_refined);
	int (*feed_cond)(const void *self, struct graph *g, void *built, const float *cond);
	void (*free_cond)(void *built);

	/*
	 * One evaluation of the same latent for n captions of equal length; each is an input
	 * [n_refined, its width] that feed() fills.
	 */
	void *(*build)(const void *self, struct graph *g, const struct canvas *c, unsigned n,
		       uint32_t n_refined, struct evaluation *ret);
	/* Without the blocks; needs no prepare(), and feed() no captions and no references. */
	void *(*build_skim)(const void *self, struct graph *g, const struct canvas *c,
			    struct skim *ret);
	/* Inputs that never change; after graph_build(). 0 or -ENOMEM. */
	int (*prepare)(const void *self, struct graph *g, void *built, const struct canvas *c);
	/*
	 * latent [channels, h, w] at this sigma, the refined captions and the references'
	 * latents [channels, their h, w] into the inputs.
	 */
	void (*feed)(const void *self, struct graph *g, void *built, const float *latent,
		     float sigma, const float *const *refined, const float *const *references,
		     const struct canvas *c);
	/*
	 * The velocity [channels, h, w] for caption i, sign as the sampler wants it, after
	 * graph_run(). A skim has one, for the caption whose change it was given.
	 */
	void (*velocity)(const void *self, struct graph *g, void *built, unsigned i, float *ret);
	void (*free_built)(void *built);
};
extern const struct transformer_class zimage, flux2;

#endif
