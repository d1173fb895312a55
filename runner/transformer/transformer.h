#ifndef EASEL_RUNNER_TRANSFORMER_TRANSFORMER_H
#define EASEL_RUNNER_TRANSFORMER_TRANSFORMER_H

#include <jansson.h>

#include "runner/graph/graph.h"
#include "runner/weights.h"

/* What a family's transformer wants and gives; one file per family fills it. */
struct transformer_class {
	const char *prompt_prefix, *prompt_suffix;      /* chat template around the user's text */
	bool distilled_guidance;                        /* guidance 0 by default */
	uint32_t default_steps, default_side;
	double default_guidance;

	int (*create)(const json_t *config, void **ret, struct err *err);
	void (*free)(void *self);
	void (*bind)(void *self, struct weights *w);
	uint32_t (*latent_channels)(const void *self);
	uint32_t (*cond_width)(const void *self);
	/* Tokens of a picture, without padding. */
	uint32_t (*image_tokens)(const void *self, uint32_t latent_h, uint32_t latent_w);
	/* -EINVAL when latent height/width or n_text are beyond what the model's tables cover. */
	int (*check_size)(const void *self, uint32_t latent_h, uint32_t latent_w, uint32_t n_text,
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

	/* One evaluation; refined is an input [n_refined, its width] that feed() fills. */
	void *(*build)(const void *self, struct graph *g, uint32_t latent_h, uint32_t latent_w,
		       uint32_t n_refined, T *ret_out);
	/* Inputs that never change; after graph_build(). 0 or -ENOMEM. */
	int (*prepare)(const void *self, struct graph *g, void *built);
	/* latent [channels, h, w] at this sigma and the refined caption into the inputs. */
	void (*feed)(const void *self, struct graph *g, void *built, const float *latent,
		     float sigma, const float *refined);
	/* The velocity [channels, h, w], sign as the sampler wants it, after graph_run(). */
	void (*velocity)(const void *self, struct graph *g, void *built, float *ret);
	void (*free_built)(void *built);
};
extern const struct transformer_class zimage;

#endif
