/*
 * The decisions of TeaCache and of the reference server's cache. Owns nothing; any thread.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "runner/step_cache.h"

/* ---- as published ---- */

static double rescaled(const double coefficients[STEP_CACHE_COEFFICIENTS], double change)
{
	double y = 0;

	for (int i = 0; i < STEP_CACHE_COEFFICIENTS; i++)
		y = y * change + coefficients[i];
	return y;
}

static bool teacache_reuses(const struct step_cache_rule *rule, struct step_cache *c, double change)
{
	c->sum += rescaled(rule->coefficients, change);
	return c->sum < rule->setting.threshold;
}

double step_cache_change(const float *now, const float *before, size_t n)
{
	double moved = 0, size = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		moved += fabs((double)now[i] - before[i]);
		size += fabs((double)before[i]);
	}
	return moved > 0 ? moved / size : 0;
}

/* ---- the reference's ---- */

/* The sum grows by the whole distance again at every reused step; so does the reference's. */
static bool reference_reuses(const struct step_cache_rule *rule, struct step_cache *c, float sigma)
{
	const float sum = (float)c->sum + fabsf(sigma - c->sigma);

	c->sum = sum;
	return !(sum > (float)rule->setting.threshold);
}

/* Steps that compute whatever the sum says, and leave it as it is. */
static bool is_forced(const struct step_cache_rule *rule, const struct step_cache *c, uint32_t step)
{
	const bool reference = rule->setting.mode == STEP_CACHE_REFERENCE;

	return !c->computed || step + 1 >= rule->n_steps ||
	       (reference && rule->guided && step < STEP_CACHE_GUIDED_WARMUP);
}

bool step_cache_reuses(const struct step_cache_rule *rule, struct step_cache *c, uint32_t step,
		       double measure)
{
	const enum step_cache_mode mode = rule->setting.mode;
	const bool reference = mode == STEP_CACHE_REFERENCE;

	if (!reference && mode != STEP_CACHE_TEACACHE)
		return false;
	if (!is_forced(rule, c, step)) {
		if (reference ? reference_reuses(rule, c, (float)measure) :
				teacache_reuses(rule, c, measure))
			return true;
		c->sum = 0;
	}
	c->computed = true;
	if (reference)
		c->sigma = (float)measure;
	return false;
}

/* ---- what a model brings ---- */

int step_cache_coefficients(const json_t *file, double ret[STEP_CACHE_COEFFICIENTS],
			    struct err *err)
{
	static const double identity[STEP_CACHE_COEFFICIENTS] = { 0, 0, 0, 1, 0 };
	const json_t *list = json_object_get(file, "coefficients");
	bool good = json_array_size(list) == STEP_CACHE_COEFFICIENTS;

	if (!file) {
		memcpy(ret, identity, sizeof identity);
		return 0;
	}
	for (size_t i = 0; good && i < STEP_CACHE_COEFFICIENTS; i++) {
		const json_t *value = json_array_get(list, i);

		good = json_is_number(value) && isfinite(json_number_value(value));
		ret[i] = json_number_value(value);
	}
	if (good)
		return 0;
	return err_set(err, -EINVAL, "transformer/step_cache.json: coefficients must be %d numbers, "
		       "the highest power first", STEP_CACHE_COEFFICIENTS);
}
