/*
 * The denoising loop: the transformer's velocity, guidance, the sampler's step. Latents
 * stay on the host in float32. GPU thread.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "runner/noise.h"
#include "runner/pipeline_private.h"

/* ---- the transformer: shape { latent h, latent w, caption rows } ---- */

static int build_step(const void *model, struct stage *s)
{
	const struct family_parts *parts = model;
	const struct transformer_class *t = parts->family->transformer;

	s->free_built = t->free_built;
	s->built = t->build(parts->transformer, s->graph, s->shape[0], s->shape[1], s->shape[2],
			    &s->out);
	return s->built ? 0 : -ENOMEM;
}

static int prepare_step(const void *model, struct stage *s)
{
	const struct family_parts *parts = model;

	return parts->family->transformer->prepare(parts->transformer, s->graph, s->built);
}

static const struct stage_kind step_kind = { .build = build_step, .prepare = prepare_step };

int denoise_plan(struct pipeline *p, uint32_t h, uint32_t w, uint32_t n_text, uint64_t *ret,
		 struct err *err)
{
	const uint32_t shape[3] = { h, w, n_text };

	return stage_plan(&p->shop, &step_kind, &p->parts, shape, ret, err);
}

/* One request's loop. */
struct loop {
	struct pipeline *p;
	const struct pipeline_request *request;
	const struct caption *caption[PASSES];
	struct err *err;
	uint32_t h, w;
	size_t n;                               /* of a latent */
	float *sigmas;                          /* [steps + 1] */
	float *velocity[PASSES];
};

/* Captions of one padded length share a graph; others have rotary tables of their own. */
static struct stage *stage_of(const struct loop *l, unsigned pass)
{
	return &l->p->step[l->caption[pass]->rows == l->caption[0]->rows ? 0 : pass];
}

static int evaluate(struct loop *l, unsigned pass, uint32_t step, const float *latent)
{
	const struct family_parts *parts = &l->p->parts;
	const struct transformer_class *t = parts->family->transformer;
	const struct caption *c = l->caption[pass];
	const uint32_t shape[3] = { l->h, l->w, c->rows };
	struct stage *s = stage_of(l, pass);
	char prefix[64];
	int r;

	r = stage_ready(&l->p->shop, s, &step_kind, parts, shape, l->err);
	if (r < 0)
		return r;
	t->feed(parts->transformer, s->graph, s->built, latent, l->sigmas[step], c->refined);
	snprintf(prefix, sizeof prefix, "%sstep%u.", c->prefix, step);
	r = stage_run(&l->p->shop, s, prefix, l->err);
	if (r < 0)
		return r;
	t->velocity(parts->transformer, s->graph, s->built, l->velocity[pass]);
	workshop_tap(&l->p->shop, l->velocity[pass], l->n, "%svelocity.%u", c->prefix, step);
	return check_finite(l->velocity[pass], l->n, "the transformer's results", l->err);
}

static double norm(const float *x, size_t n)
{
	double sum = 0;
	size_t i;

	for (i = 0; i < n; i++)
		sum += (double)x[i] * x[i];
	return sqrt(sum);
}

/* pos + g (pos - neg), at most `most` times as long as pos (0: no bound); into pos. */
static void guide(float *pos, const float *neg, size_t n, float g, double most)
{
	double before = norm(pos, n), after;
	float scale;
	size_t i;

	for (i = 0; i < n; i++)
		pos[i] += g * (pos[i] - neg[i]);
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
	const struct pipeline_request *r = l->request;
	float t = (1000.0f - 1000.0f * l->sigmas[step]) / 1000.0f;

	return r->guidance > 0 && !(r->cfg_truncation <= 1 && (double)t > r->cfg_truncation);
}

static int one_step(struct loop *l, uint32_t step, float *latent)
{
	const struct family_parts *parts = &l->p->parts;
	int r;

	r = evaluate(l, 0, step, latent);
	if (r == 0 && guided(l, step)) {
		r = evaluate(l, 1, step, latent);
		if (r == 0)
			guide(l->velocity[0], l->velocity[1], l->n, (float)l->request->guidance,
			      l->request->cfg_normalization);
	}
	if (r < 0)
		return r;
	parts->family->sampler->step(parts->sampler, l->sigmas, step, l->velocity[0], latent, l->n);
	workshop_tap(&l->p->shop, latent, l->n, "latents_after.%u", step);
	return check_finite(latent, l->n, "the latents", l->err);
}

static void draw_noise(const struct loop *l, float *latent)
{
	const struct pipeline_hooks *h = l->p->shop.hooks;
	struct noise noise;

	noise_seed(&noise, l->request->seed);
	noise_draw(&noise, latent, l->n);
	if (h && h->noise)
		h->noise(h->context, latent, l->n);
	workshop_tap(&l->p->shop, latent, l->n, "initial_latents");
}

static int run_loop(struct loop *l, float *latent)
{
	const struct family_parts *parts = &l->p->parts;
	uint32_t i, steps = l->request->steps;
	uint32_t n_image = parts->family->transformer->image_tokens(parts->transformer, l->h, l->w);
	int r;

	r = parts->family->sampler->sigmas(parts->sampler, steps, n_image, l->sigmas, l->err);
	if (r < 0)
		return r;
	workshop_tap(&l->p->shop, l->sigmas, steps + 1, "sigmas");
	draw_noise(l, latent);
	workshop_progress(&l->p->shop, "denoise", 0, steps);
	for (i = 0; i < steps; i++) {
		r = one_step(l, i, latent);
		if (r < 0)
			return r;
		workshop_progress(&l->p->shop, "denoise", i + 1, steps);
	}
	workshop_tap(&l->p->shop, latent, l->n, "final_latents");
	return 0;
}

int denoise(struct pipeline *p, const struct pipeline_request *request, const struct caption *cond,
	    const struct caption *uncond, float *latent, uint32_t h, uint32_t w, struct err *err)
{
	const struct family_parts *parts = &p->parts;
	size_t channels = parts->family->transformer->latent_channels(parts->transformer);
	struct loop l = {
		.p = p, .request = request, .caption = { cond, uncond }, .err = err,
		.h = h, .w = w, .n = channels * h * w,
	};
	unsigned i;
	int r = 0;

	l.sigmas = calloc((size_t)request->steps + 1, sizeof *l.sigmas);
	for (i = 0; i < PASSES; i++)
		l.velocity[i] = calloc(l.n, sizeof *l.velocity[i]);
	if (!l.sigmas || !l.velocity[0] || !l.velocity[1])
		r = err_set(err, -ENOMEM, "denoising: out of memory");
	if (r == 0)
		r = run_loop(&l, latent);
	for (i = 0; i < PASSES; i++)
		free(l.velocity[i]);
	free(l.sigmas);
	return r;
}
