#ifndef EASEL_RUNNER_SAMPLER_SAMPLER_H
#define EASEL_RUNNER_SAMPLER_SAMPLER_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* Sigmas and the update rule. */
struct sampler_class {
	int (*create)(const json_t *config, void **ret, struct err *err);
	void (*free)(void *self);
	/*
	 * sigmas[0..steps], the last one 0; n_image is the number of image tokens (dynamic
	 * shifting).
	 */
	int (*sigmas)(const void *self, uint32_t steps, uint32_t n_image, float *ret,
		      struct err *err);
	/* latent += (sigmas[step + 1] - sigmas[step]) * velocity, in float32. */
	void (*step)(const void *self, const float *sigmas, uint32_t step, const float *velocity,
		     float *latent, size_t n);
};
/* They differ in how dynamic shifting follows from picture size and steps. */
extern const struct sampler_class flow_match, flow_match_flux2;

#endif
