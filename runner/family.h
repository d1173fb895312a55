#ifndef EASEL_RUNNER_FAMILY_H
#define EASEL_RUNNER_FAMILY_H

#include <jansson.h>

#include "common/err.h"
#include "runner/step_cache.h"
#include "runner/weights.h"

/* Which parts make up a pipeline class: one row of families.def. */
struct family {
	const char *class_name;                 /* "ZImagePipeline" */
	const struct text_encoder_class *text_encoder;
	const struct transformer_class *transformer;
	const struct sampler_class *sampler;
	const struct vae_class *vae;
};

/* The parsed configs of one model; the caller's references. NULL: the file is missing. */
struct family_configs {
	/* "architecture" (stored), else "_class_name" (diffusers) */
	const json_t *model_index;
	const json_t *transformer, *text_encoder, *vae;
	const json_t *scheduler;                /* scheduler/scheduler_config.json */
	const json_t *step_cache;               /* transformer/step_cache.json; may well be missing */
	const json_t *latent_rgb;               /* vae/latent_rgb.json; the same */
};

/* The parts of one model, made from its configs. */
struct family_parts {
	const struct family *family;
	void *text_encoder, *transformer, *sampler, *vae;
	struct latent_rgb *latent_rgb;          /* NULL: the model brings none */
	double step_cache[STEP_CACHE_COEFFICIENTS];     /* how TeaCache rescales its signal */
	bool distilled;                         /* model_index.json says so: guidance has no effect */
};

/* Pipeline class names, ending with NULL. */
const char *const *family_supported(void);
/* "architecture" or else "_class_name"; NULL when neither is a string. */
const char *family_class_name(const json_t *model_index);

/*
 * -EINVAL for an unknown pipeline class (names the supported ones) or a bad config
 * (names file and key).
 */
int family_create(const struct family_configs *c, struct family_parts *ret, struct err *err);
void family_free(struct family_parts *p);       /* leaves it zeroed */
/* Every part claims its tensors of w. */
void family_bind(const struct family_parts *p, struct weights *w);

/*
 * Whether these configs and tensors make a model that can be drawn with: create, bind
 * and weights_check() without a device. 0 or -EINVAL with everything that is wrong.
 * *ret_edits: whether it can refer to pictures.
 */
int family_check(const struct family_configs *c, struct weights *w, bool *ret_edits,
		 struct err *err);

#endif
