/*
 * The denoising loop: the transformer's velocity, guidance, the sampler's step. Latents
 * stay on the host in float32. GPU thread.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner/pipeline_private.h"

/* ---- the transformer: shape { latent h, latent w, caption rows, n references, their sizes } ---- */

struct step_model {
	const struct family_parts *parts;
	const struct canvas *canvas;
};

static int build_step(const void *model, struct stage *s)
{
	const struct step_model *m = model;
	const struct transformer_class *t = m->parts->family->transformer;

	s->free_built = t->free_built;
	s->built = t->build(m->parts->transformer, s->graph, m->canvas, s->shape[2], &s->out);
	return s->built ? 0 : -ENOMEM;
}

static int prepare_step(const void *model, struct stage *s)
{
	const struct step_model *m = model;

	return m->parts->family->transformer->prepare(m->parts->transformer, s->graph, s->built,
						      m->canvas);
}

static const struct stage_kind step_kind = { .build = build_step, .prepare = prepare_step };

static void step_shape(const struct canvas *c, uint32_t n_text, uint32_t shape[STAGE_DIMS])
{
	unsigned i;

	memset(shape, 0, STAGE_DIMS * sizeof *shape);
	shape[0] = c->h;
	shape[1] = c->w;
	shape[2] = n_text;
	shape[3] = c->n_references;
	for (i = 0; i < c->n_references; i++) {
		shape[4 + 2 * i] = c->reference[i].h;
		shape[5 + 2 * i] = c->reference[i].w;
	}
}

int denoise_plan(struct pipeline *p, const struct canvas *c, uint32_t n_text, uint64_t *ret,
		 struct err *err)
{
	const struct step_model model = { &p->parts, c };
	uint32_t shape[STAGE_DIMS];

	step_shape(c, n_text, shape);
	return stage_plan(&p->shop, &p->step, &step_kind, &model, shape, ret, err);
}

/* One request's loop. */
struct loop {
	struct pipeline *p;
	struct drawing *d;
	const struct caption *caption[PASSES];
	struct err *err;
	float *sigmas;                          /* [steps + 1] */
	float *velocity[PASSES];
	float *noise;                           /* only where the start is noised with it */
};

static int evaluate(struct loop *l, unsigned pass, uint32_t step, const float *latent)
{
	const struct family_parts *parts = &l->p->parts;
	const struct transformer_class *t = parts->family->transformer;
	const struct caption *c = l->caption[pass];
	const struct step_model model = { parts, &l->d->canvas };
	struct stage *s;
	uint32_t shape[STAGE_DIMS];
	char prefix[64];
	int r;

	step_shape(&l->d->canvas, c->rows, shape);
	r = stage_ready(&l->p->shop, &l->p->step, &step_kind, &model, shape, &s, l->err);
	if (r < 0)
		return r;
	t->feed(parts->transformer, s->graph, s->built, latent, l->sigmas[step], c->refined,
		(const float *const *)l->d->reference, &l->d->canvas);
	snprintf(prefix, sizeof prefix, "%sstep%u.", c->prefix, step);
	r = stage_run(&l->p->shop, s, prefix, l->err);
	if (r < 0)
		return r;
	t->velocity(parts->transformer, s->graph, s->built, l->velocity[pass]);
	workshop_tap(&l->p->shop, l->velocity[pass], l->d->n, "%svelocity.%u", c->prefix, step);
	return check_finite(l->velocity[pass], l->d->n, "the transformer's results", l->err);
}

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
 * most `most` times as long as pos (0: no bound); into pos.
 */
static void guide(float *pos, const float *neg, size_t n, float g, bool from_neg, double most)
{
	double before = norm(pos, n), after;
	float scale;
	size_t i;

	for (i = 0; i < n; i++)
		pos[i] = (from_neg ? neg[i] : pos[i]) + g * (pos[i] - neg[i]);
	after = norm(pos, n);
	if (most <= 0 || after <= before * most)
		return;
	scale = (float)(before * most / after);
	for (i = 0; i < n; i++)
		pos[i] *= scale;
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
	float *start = l->velocity[0];          /* done with for this step */
	size_t i;

	noised_start(l, sigma, start);
	for (i = 0; i < l->d->n; i++) {
		float keep = l->d->keep[i % plane];

		latent[i] = keep * start[i] + (1.0f - keep) * latent[i];
	}
}

static int one_step(struct loop *l, uint32_t step, float *latent)
{
	const struct family_parts *parts = &l->p->parts;
	const struct pipeline_request *r = l->d->request;
	int code;

	code = evaluate(l, 0, step, latent);
	if (code == 0 && guided(l, step)) {
		code = evaluate(l, 1, step, latent);
		if (code == 0)
			guide(l->velocity[0], l->velocity[1], l->d->n, (float)r->guidance,
			      parts->family->transformer->guidance_base > 0, r->cfg_normalization);
	}
	if (code < 0)
		return code;
	parts->family->sampler->step(parts->sampler, l->sigmas, step, l->velocity[0], latent,
				     l->d->n);
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
	struct loop l = { .p = p, .d = d, .caption = { &d->cond, &d->uncond }, .err = err };
	unsigned i;
	int r = 0;

	l.sigmas = calloc((size_t)d->request->steps + 1, sizeof *l.sigmas);
	for (i = 0; i < PASSES; i++)
		l.velocity[i] = calloc(d->n, sizeof *l.velocity[i]);
	if (!l.sigmas || !l.velocity[0] || !l.velocity[1])
		r = err_set(err, -ENOMEM, "denoising: out of memory");
	if (r == 0)
		r = run_loop(&l, d->latent);
	for (i = 0; i < PASSES; i++)
		free(l.velocity[i]);
	free(l.sigmas);
	free(l.noise);
	return r;
}
