#ifndef EASEL_RUNNER_STEP_CACHE_H
#define EASEL_RUNNER_STEP_CACHE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/step_cache.h"

/*
 * Which steps of a picture evaluate the transformer anew. Pure logic.
 *
 * teacache (https://arxiv.org/abs/2411.19108): the relative change of the first block's
 * modulated input, rescaled by a polynomial that a model brings, is summed up; below the
 * threshold a step reuses what the blocks added to the picture's tokens.
 *
 * reference: the distance of sigma to the last computed step's is summed up; up to the
 * threshold a step reuses the velocity. Rounded to float32 at every operation.
 *
 * In both the first and the last step compute.
 */
enum {
	STEP_CACHE_COEFFICIENTS = 5,
	STEP_CACHE_GUIDED_WARMUP = 3,   /* steps of reference that compute when guided */
};

/* What holds for a whole picture. */
struct step_cache_rule {
	struct step_cache_setting setting;
	double coefficients[STEP_CACHE_COEFFICIENTS];   /* highest power first */
	uint32_t n_steps;               /* that are drawn */
	bool guided;
};
/* Of one of its evaluations (prompt, negative prompt); zeroed before the first step. */
struct step_cache {
	bool computed;                  /* there is something to reuse */
	float sigma;                    /* of the last computed step */
	double sum;                     /* since then */
};

/*
 * Whether step (0, ..., n_steps - 1, each asked once and in order) reuses; where it does
 * not, it is taken as computed. measure: teacache: step_cache_change() since the step
 * before; reference: sigma.
 */
bool step_cache_reuses(const struct step_cache_rule *rule, struct step_cache *c, uint32_t step,
		       double measure);
/* mean |now - before| / mean |before| */
double step_cache_change(const float *now, const float *before, size_t n);

/*
 * {"coefficients": [c4, c3, c2, c1, c0], ...} of transformer/step_cache.json; NULL (there
 * is none): the identity. -EINVAL.
 */
int step_cache_coefficients(const json_t *file, double ret[STEP_CACHE_COEFFICIENTS],
			    struct err *err);

#endif
