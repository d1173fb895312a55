/*
 * Flow matching with Euler steps (FlowMatchEulerDiscreteScheduler of diffusers): the
 * sigmas of a run and the update rule. A sampler is its config; any thread.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/fields.h"
#include "runner/sampler/sampler.h"

struct flow_match {
	double shift;
	bool dynamic;
	double base_shift, max_shift;
	double base_seq, max_seq;
	double terminal;                        /* 0: none */
	char *time_shift;                       /* "exponential", "linear" */
	bool karras, exponential, beta, invert, stochastic;
};

static const struct field config_fields[] = {
	FIELD(struct flow_match, shift, F64, .min = 1e-6, .max = 1e6),
	FIELD_AS(struct flow_match, dynamic, "use_dynamic_shifting", BOOL),
	FIELD(struct flow_match, base_shift, F64, .min = -100, .max = 100),
	FIELD(struct flow_match, max_shift, F64, .min = -100, .max = 100),
	FIELD_AS(struct flow_match, base_seq, "base_image_seq_len", F64, .min = 1, .max = 1e9),
	FIELD_AS(struct flow_match, max_seq, "max_image_seq_len", F64, .min = 1, .max = 1e9),
	FIELD_AS(struct flow_match, terminal, "shift_terminal", F64, .min = 1e-9, .max = 0.999),
	FIELD_AS(struct flow_match, time_shift, "time_shift_type", STR, .max = 64),
	FIELD_AS(struct flow_match, karras, "use_karras_sigmas", BOOL),
	FIELD_AS(struct flow_match, exponential, "use_exponential_sigmas", BOOL),
	FIELD_AS(struct flow_match, beta, "use_beta_sigmas", BOOL),
	FIELD_AS(struct flow_match, invert, "invert_sigmas", BOOL),
	FIELD_AS(struct flow_match, stochastic, "stochastic_sampling", BOOL),
	{ 0 }
};

static bool is_linear(const struct flow_match *s)
{
	return s->time_shift && !strcmp(s->time_shift, "linear");
}

static int check(const struct flow_match *s, struct err *err)
{
	const struct { bool set; const char *key; } unsupported[] = {
		{ s->karras, "use_karras_sigmas" },
		{ s->exponential, "use_exponential_sigmas" },
		{ s->beta, "use_beta_sigmas" },
		{ s->invert, "invert_sigmas" },
		{ s->stochastic, "stochastic_sampling" },
	};
	size_t i;

	for (i = 0; i < sizeof unsupported / sizeof unsupported[0]; i++)
		if (unsupported[i].set)
			return err_set(err, -EINVAL, "%s is not supported", unsupported[i].key);
	if (s->time_shift && !is_linear(s) && strcmp(s->time_shift, "exponential"))
		return err_set(err, -EINVAL, "time_shift_type '%s' is not supported",
			       s->time_shift);
	if (s->max_seq <= s->base_seq)
		return err_set(err, -EINVAL, "max_image_seq_len must be above base_image_seq_len");
	return 0;
}

static void flow_match_free(void *self)
{
	if (self)
		fields_clear(config_fields, self);
	free(self);
}

static int flow_match_create(const json_t *config, void **ret, struct err *err)
{
	struct flow_match *s = malloc(sizeof *s);
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	*s = (struct flow_match){
		.shift = 1.0, .base_shift = 0.5, .max_shift = 1.15,
		.base_seq = 256, .max_seq = 4096,
	};
	r = fields_read(config_fields, config, 0, s, NULL, err);
	if (r == 0)
		r = check(s, err);
	if (r < 0) {
		flow_match_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

/* Dynamic shifting: mu grows with the number of image tokens. */
static double dynamic_mu(const struct flow_match *s, uint32_t n_image)
{
	double m = (s->max_shift - s->base_shift) / (s->max_seq - s->base_seq);

	return s->base_shift + m * (n_image - s->base_seq);
}

/* FLUX.2: fitted lines at 10 and 200 steps, between them by the number of steps. */
static double empirical_mu(uint32_t n_image, uint32_t steps)
{
	const double at_10 = 8.73809524e-05 * n_image + 1.89833333;
	const double at_200 = 0.00016927 * n_image + 0.45666666;
	const double slope = (at_200 - at_10) / 190.0;

	/* The jump at this size is the reference's. */
	if (n_image > 4300)
		return at_200;
	return slope * steps + (at_200 - 200.0 * slope);
}

/*
 * In float32, operation by operation as the reference: timesteps are a thousand times
 * the sigmas, so that the model sees even their last bit.
 */
static float shifted(const struct flow_match *s, double mu, float sigma)
{
	float factor, shift = (float)s->shift;

	if (!s->dynamic)
		return shift * sigma / (1.0f + (float)(s->shift - 1.0) * sigma);
	factor = (float)(is_linear(s) ? mu : exp(mu));
	return factor / (factor + (1.0f / sigma - 1.0f));
}

/* torch.linspace(1, 1 / steps, steps): from the nearer end, multiplied and added in one. */
static float unshifted(uint32_t steps, uint32_t i)
{
	float last = (float)(1.0 / steps), stride;

	if (steps == 1)
		return 1.0f;
	stride = (last - 1.0f) / (float)(steps - 1);
	return i < steps / 2 ? fmaf(stride, (float)i, 1.0f) :
		fmaf(-stride, (float)(steps - 1 - i), last);
}

/* Shifts what ret holds, unshifted. */
static int finish_sigmas(const struct flow_match *s, double mu, uint32_t steps, float *ret,
			 struct err *err)
{
	uint32_t i;

	for (i = 0; i < steps; i++)
		ret[i] = shifted(s, mu, ret[i]);
	if (s->terminal > 0 && ret[steps - 1] < 1.0f) {
		/* Stretched so that the last sigma is the terminal one. */
		double scale = (1.0 - s->terminal) / (1.0 - ret[steps - 1]);

		for (i = 0; i < steps; i++)
			ret[i] = (float)(1.0 - (1.0 - ret[i]) * scale);
	}
	ret[steps] = 0;
	for (i = 0; i < steps; i++)
		if (!isfinite(ret[i]))
			return err_set(err, -EDOM, "the scheduler's sigmas are not finite");
	return 0;
}

static int flow_match_sigmas(const void *self, uint32_t steps, uint32_t n_image, float *ret,
			     struct err *err)
{
	const struct flow_match *s = self;
	uint32_t i;

	if (steps == 0)
		return err_set(err, -EINVAL, "steps must be at least 1");
	for (i = 0; i < steps; i++)
		ret[i] = unshifted(steps, i);
	return finish_sigmas(s, dynamic_mu(s, n_image), steps, ret, err);
}

static int flux2_sigmas(const void *self, uint32_t steps, uint32_t n_image, float *ret,
			struct err *err)
{
	const double stride = steps > 1 ? (1.0 / steps - 1.0) / (steps - 1) : 0;
	uint32_t i;

	if (steps == 0)
		return err_set(err, -EINVAL, "steps must be at least 1");
	/* numpy.linspace(1, 1 / steps, steps): in double, the end exact. */
	for (i = 0; i < steps; i++)
		ret[i] = (float)(i && i == steps - 1 ? 1.0 / steps : i * stride + 1.0);
	return finish_sigmas(self, empirical_mu(n_image, steps), steps, ret, err);
}

static void flow_match_step(const void *self, const float *sigmas, uint32_t step,
			    const float *velocity, float *latent, size_t n)
{
	float dt = sigmas[step + 1] - sigmas[step];
	size_t i;

	(void)self;
	for (i = 0; i < n; i++)
		latent[i] += dt * velocity[i];
}

const struct sampler_class flow_match = {
	.create = flow_match_create,
	.free = flow_match_free,
	.sigmas = flow_match_sigmas,
	.step = flow_match_step,
};

const struct sampler_class flow_match_flux2 = {
	.create = flow_match_create,
	.free = flow_match_free,
	.sigmas = flux2_sigmas,
	.step = flow_match_step,
};
