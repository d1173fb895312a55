/*
 * The denoising loop: the transformer's velocity, guidance, the sampler's step. Latents
 * stay on the host in float32. GPU thread.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runner/pipeline_private.h"

/* One request's loop. */
struct loop {
	struct pipeline *p;
	struct drawing *d;
	struct evaluator evaluator;
	struct err *err;
	float *sigmas;                          /* [steps + 1] */
	float *velocity;                        /* after guidance */
	float *noise;                           /* only where the start is noised with it */
};

static double norm(const float *x, size_t n)
{
	double sum = 0;
	size_t i;

	for (i = 0; i < n; i++)
		sum += (double)x[i] * x[i];
	return sqrt(sum);
}

/*
 * pos + g (pos - neg), or neg + g (pos - neg) where the family's scale counts from 1; at
 * most `most` times as long as pos (0: no bound).
 */
static void guide(const float *pos, const float *neg, size_t n, float g, bool from_neg, double most,
		  float *ret)
{
	double before = norm(pos, n), after;
	float scale;
	size_t i;

	for (i = 0; i < n; i++)
		ret[i] = (from_neg ? neg[i] : pos[i]) + g * (pos[i] - neg[i]);
	after = norm(ret, n);
	if (most <= 0 || after <= before * most)
		return;
	scale = (float)(before * most / after);
	for (i = 0; i < n; i++)
		ret[i] *= scale;
}

/* Beyond the truncation point (t runs from 0, noise, to 1) the prompt goes alone. */
static bool guided(const struct loop *l, uint32_t step)
{
	const double truncation = l->d->request->cfg_truncation;
	float t = (1000.0f - 1000.0f * l->sigmas[step]) / 1000.0f;

	return l->d->guided && !(truncation <= 1 && (double)t > truncation);
}

/* The start at a step's noise level. */
static void noised_start(const struct loop *l, float sigma, float *ret)
{
	size_t i;

	for (i = 0; i < l->d->n; i++)
		ret[i] = sigma * l->noise[i] + (1.0f - sigma) * l->d->start[i];
}

/* Where the mask keeps the picture, the latent becomes the start's again. */
static void keep_start(const struct loop *l, float sigma, float *latent)
{
	const size_t plane = (size_t)l->d->canvas.h * l->d->canvas.w;
	float *start = l->velocity;             /* done with for this step */
	size_t i;

	noised_start(l, sigma, start);
	for (i = 0; i < l->d->n; i++) {
		float keep = l->d->keep[i % plane];

		latent[i] = keep * start[i] + (1.0f - keep) * latent[i];
	}
}

static int velocity(struct loop *l, uint32_t step, const float *latent)
{
	const struct moment at = { step, l->sigmas[step], latent };
	const struct pipeline_request *r = l->d->request;
	const bool both = guided(l, step);
	const struct pass *pass = l->evaluator.pass;
	int code = evaluate(&l->evaluator, both ? 2 : 1, &at, l->err);

	if (code < 0)
		return code;
	if (both)
		guide(pass[0].velocity, pass[1].velocity, l->d->n, (float)r->guidance,
		      l->p->parts.family->transformer->guidance_base > 0, r->cfg_normalization,
		      l->velocity);
	else
		memcpy(l->velocity, pass[0].velocity, l->d->n * sizeof *l->velocity);
	return 0;
}

/* As if the rest of the way were straight: x0 = x - sigma v. */
static int show_so_far(struct loop *l, uint32_t step, const float *latent)
{
	const struct pipeline_hooks *h = l->p->shop.hooks;
	const uint32_t first = drawing_first_step(l->d);
	const float sigma = l->sigmas[step + 1];
	struct image rgb;
	float *x0;
	size_t i;
	int r;

	if (!preview_is_due(step + 1 - first, l->d->request->steps - first,
			    l->d->request->partial_images))
		return 0;
	x0 = calloc(l->d->n, sizeof *x0);
	if (!x0)
		return err_set(l->err, -ENOMEM, "a partial picture: out of memory");
	for (i = 0; i < l->d->n; i++)
		x0[i] = latent[i] - sigma * l->velocity[i];
	r = preview_latent(l->p, x0, l->d->canvas.h, l->d->canvas.w, &rgb, l->err);
	free(x0);
	return r < 0 ? r : h->partial(h->context, &rgb, l->err);
}

static int one_step(struct loop *l, uint32_t step, float *latent)
{
	const struct family_parts *parts = &l->p->parts;
	int code = velocity(l, step, latent);

	if (code < 0)
		return code;
	parts->family->sampler->step(parts->sampler, l->sigmas, step, l->velocity, latent,
				     l->d->n);
	code = show_so_far(l, step, latent);
	if (code < 0)
		return code;
	if (l->d->keep)
		keep_start(l, l->sigmas[step + 1], latent);
	workshop_tap(&l->p->shop, latent, l->d->n, "latents_after.%u", step);
	return check_finite(latent, l->d->n, "the latents", l->err);
}

/* The noise, and the latent to begin with at this noise level. */
static int begin(struct loop *l, float sigma, float *latent)
{
	const struct pipeline_hooks *h = l->p->shop.hooks;

	noise_draw(&l->d->noise, latent, l->d->n);
	if (h && h->noise)
		h->noise(h->context, latent, l->d->n);
	workshop_tap(&l->p->shop, latent, l->d->n, "initial_latents");
	if (!l->d->start)
		return 0;
	l->noise = calloc(l->d->n, sizeof *l->noise);
	if (!l->noise)
		return err_set(l->err, -ENOMEM, "denoising: out of memory");
	memcpy(l->noise, latent, l->d->n * sizeof *latent);
	noised_start(l, sigma, latent);
	return 0;
}

static int run_loop(struct loop *l, float *latent)
{
	const struct family_parts *parts = &l->p->parts;
	const struct canvas *c = &l->d->canvas;
	uint32_t i, steps = l->d->request->steps, first = drawing_first_step(l->d);
	uint32_t n_image = parts->family->transformer->image_tokens(parts->transformer, c->h, c->w);
	int r;

	r = parts->family->sampler->sigmas(parts->sampler, steps, n_image, l->sigmas, l->err);
	if (r < 0)
		return r;
	workshop_tap(&l->p->shop, l->sigmas, steps + 1, "sigmas");
	r = begin(l, l->sigmas[first], latent);
	workshop_progress(&l->p->shop, "denoise", 0, steps - first);
	for (i = first; i < steps && r == 0; i++) {
		r = one_step(l, i, latent);
		if (r == 0)
			workshop_progress(&l->p->shop, "denoise", i + 1 - first, steps - first);
	}
	if (r == 0)
		workshop_tap(&l->p->shop, latent, l->d->n, "final_latents");
	return r;
}

int denoise(struct pipeline *p, struct drawing *d, struct err *err)
{
	struct loop l = { .p = p, .d = d, .err = err };
	int r = evaluator_open(&l.evaluator, p, d, err);

	if (r < 0)
		return r;
	l.sigmas = calloc((size_t)d->request->steps + 1, sizeof *l.sigmas);
	l.velocity = calloc(d->n, sizeof *l.velocity);
	if (!l.sigmas || !l.velocity)
		r = err_set(err, -ENOMEM, "denoising: out of memory");
	if (r == 0)
		r = run_loop(&l, d->latent);
	p->drawn.steps_reused = l.evaluator.steps_reused;
	evaluator_finish(&l.evaluator);
	free(l.velocity);
	free(l.sigmas);
	free(l.noise);
	return r;
}
