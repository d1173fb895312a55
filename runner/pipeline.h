#ifndef EASEL_RUNNER_PIPELINE_H
#define EASEL_RUNNER_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/manifest.h"
#include "common/step_cache.h"
#include "common/store.h"
#include "runner/image/image.h"
#include "runner/vk/vk.h"

/* Prompt -> picture for one loaded model. All calls from the GPU thread. */
struct pipeline;

struct pipeline_defaults {
	uint32_t width, height, steps;
	double guidance;
};
struct pipeline_request {
	const char *prompt;                     /* UTF-8 */
	const char *negative;                   /* NULL: "" when guidance is on */
	uint32_t width, height, steps;
	uint64_t seed;
	double guidance, cfg_normalization, cfg_truncation;
	struct step_cache_setting step_cache;   /* unsaid is off */
	/*
	 * RGB pictures of any size. With a strength (0: nothing changes, 1: only the size
	 * stays) the first one is where drawing starts from; the others, or all without a
	 * strength, are what the family's way of editing refers to.
	 */
	const struct image *images;
	unsigned n_images;
	double strength;                        /* negative: the family's way with pictures */
	unsigned partial_images;                /* of those pictures so far that hooks' partial gets */
	const struct image *mask;               /* of the first picture, 1 channel, 255: drawn anew; or NULL */
};
struct pipeline_hooks {
	void *context;
	/* Asked between slices of work; may be NULL. */
	bool (*cancelled)(void *context);
	void (*progress)(void *context, const char *phase, uint32_t step, uint32_t total);
	/*
	 * What the picture is like so far, coarse: RGB in the picture's shape, of any size, to
	 * be taken over; at most partial_images times. May be NULL when that is 0. 0 or an error
	 * that ends the drawing.
	 */
	int (*partial)(void *context, struct image *rgb, struct err *err);
	/* The request's images and mask are not looked at any more. May be NULL. */
	void (*inputs_done)(void *context);
	/* Tests only, may be NULL: every named intermediate as dense floats. */
	void (*tap)(void *context, const char *name, const float *data, size_t n);
	/* Tests only, may be NULL: the step cache's decision for one evaluation of a step. */
	void (*reuses)(void *context, uint32_t step, bool *reused);
	/* Tests only, may be NULL: may overwrite the noise just drawn, [channels, h, w]. */
	void (*noise)(void *context, float *latent, size_t n);
};

struct pipeline_loading {
	void (*progress)(void *context, uint64_t completed, uint64_t total);    /* bytes; or NULL */
	void *context;
	/*
	 * Of the first picture to come, or NULL. Where weights are copied to the device it is
	 * encoded while those of the transformer are read.
	 */
	const char *prompt;
};
/* Loads. -EINVAL for a model that is wrong, with everything that is wrong. */
int pipeline_open(struct vk *vk, struct store *s, const struct manifest *m,
		  const struct pipeline_loading *loading, struct pipeline **ret, struct err *err);
void pipeline_close(struct pipeline **p);
const struct pipeline_defaults *pipeline_defaults(const struct pipeline *p);
uint64_t pipeline_weight_bytes(const struct pipeline *p);
/* The arena so far, or for the default size. */
uint64_t pipeline_workspace_bytes(const struct pipeline *p);
/* What became of the last picture's request. */
struct pipeline_drawn {
	uint32_t steps_reused;                  /* steps that the step cache spared the transformer */
	uint32_t tokens;                        /* of the prompt with its template, no padding */
	double strength;                        /* negative: drawn from noise alone */
};
const struct pipeline_drawn *pipeline_drawn(const struct pipeline *p);
/*
 * Draws: RGB of the size asked for, the caller's. -EINVAL for a request the model cannot draw (texts
 * say what it can), -ECANCELED, -ENOMEM, -EDOM when the numbers are not finite, -EIO.
 */
int pipeline_generate(struct pipeline *p, const struct pipeline_request *r,
		      const struct pipeline_hooks *hooks, struct image *ret, struct err *err);

#endif
