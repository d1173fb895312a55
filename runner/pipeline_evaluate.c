/*
 * The transformer's velocities at one step, for the prompt and the negative prompt, both
 * in one graph where they fit: its graphs, and what the step cache spares of them. GPU
 * thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "runner/pipeline_private.h"

/* ---- graphs ---- */

struct step_model {
	const struct family_parts *parts;
	const struct canvas *canvas;
};

/*
 * latent h, latent w, captions, rows of each, whether the hidden states are read, n
 * references, their sizes
 */
enum { DIM_H, DIM_W, DIM_CAPTIONS, DIM_TEXT, DIM_HIDDEN, DIM_N_REFERENCES, DIM_REFERENCES };

static int build_step(const void *model, struct stage *s)
{
	const struct step_model *m = model;
	const struct transformer_class *t = m->parts->family->transformer;
	struct evaluation e;
	unsigned i;

	s->free_built = t->free_built;
	s->built = t->build(m->parts->transformer, s->graph, m->canvas, s->shape[DIM_CAPTIONS],
			    s->shape[DIM_TEXT], &e);
	if (!s->built)
		return -ENOMEM;
	s->out = e.out;
	if (!s->shape[DIM_HIDDEN])
		return 0;
	s->aside[0] = e.before;
	graph_output(s->graph, e.before);
	for (i = 0; i < s->shape[DIM_CAPTIONS]; i++) {
		s->aside[1 + i] = e.after[i];
		graph_output(s->graph, e.after[i]);
	}
	return 0;
}

static int prepare_step(const void *model, struct stage *s)
{
	const struct step_model *m = model;

	return m->parts->family->transformer->prepare(m->parts->transformer, s->graph, s->built,
						      m->canvas);
}

static const struct stage_kind step_kind = { .build = build_step, .prepare = prepare_step };

static int build_skim(const void *model, struct stage *s)
{
	const struct step_model *m = model;
	const struct transformer_class *t = m->parts->family->transformer;
	struct skim skim;

	s->free_built = t->free_built;
	s->built = t->build_skim(m->parts->transformer, s->graph, m->canvas, &skim);
	if (!s->built)
		return -ENOMEM;
	s->out = skim.out;
	s->in[0] = skim.change;
	s->aside[0] = skim.signal;
	return 0;
}

static const struct stage_kind skim_kind = { .build = build_skim };

static void step_shape(const struct canvas *c, unsigned n_captions, uint32_t n_text, bool hidden,
		       uint32_t shape[STAGE_DIMS])
{
	unsigned i;

	memset(shape, 0, STAGE_DIMS * sizeof *shape);
	shape[DIM_H] = c->h;
	shape[DIM_W] = c->w;
	shape[DIM_CAPTIONS] = n_captions;
	shape[DIM_TEXT] = n_text;
	shape[DIM_HIDDEN] = hidden;
	shape[DIM_N_REFERENCES] = c->n_references;
	for (i = 0; i < c->n_references; i++) {
		shape[DIM_REFERENCES + 2 * i] = c->reference[i].h;
		shape[DIM_REFERENCES + 2 * i + 1] = c->reference[i].w;
	}
}

/* Arena bytes of a graph for all of these captions. */
static int plan_batch(struct pipeline *p, const struct canvas *c, unsigned n_captions,
		      uint32_t n_text, bool hidden, uint64_t *ret, struct err *err)
{
	const struct step_model model = { &p->parts, c };
	uint32_t shape[STAGE_DIMS];

	step_shape(c, n_captions, n_text, hidden, shape);
	return stage_plan(&p->shop, &p->step, &step_kind, &model, shape, ret, err);
}

static bool has_room(const struct pipeline *p, uint64_t bytes)
{
	struct err ignored;

	return arena_check(p->shop.vk, bytes, &ignored) == 0;
}

int evaluate_plan(struct pipeline *p, const struct canvas *c, unsigned n_captions, uint32_t n_text,
		  uint64_t *ret, struct err *err)
{
	int r = plan_batch(p, c, n_captions, n_text, false, ret, err);

	if (r < 0 || n_captions == 1 || has_room(p, *ret))
		return r;
	return plan_batch(p, c, 1, n_text, false, ret, err);
}

/* ---- one picture ---- */

static bool is_teacache(const struct evaluator *e)
{
	return e->rule.setting.mode == STEP_CACHE_TEACACHE;
}

/* Sequences of different length would need padding that the reference does not have. */
static int choose_batches(struct evaluator *e, struct err *err)
{
	const struct drawing *d = e->d;
	uint64_t bytes;
	int r;

	if (!d->guided || d->cond.rows != d->uncond.rows)
		return 0;
	r = plan_batch(e->p, &d->canvas, PASSES, d->cond.rows, is_teacache(e), &bytes, err);
	e->batches = r == 0 && has_room(e->p, bytes);
	return r;
}

int evaluator_open(struct evaluator *e, struct pipeline *p, const struct drawing *d,
		   struct err *err)
{
	const struct caption *captions[PASSES] = { &d->cond, &d->uncond };
	const uint32_t first = drawing_first_step(d);
	bool good = true;
	unsigned i;
	int r;

	*e = (struct evaluator){ .p = p, .d = d, .first = first, .rule = {
		.setting = d->request->step_cache, .guided = d->guided,
		.n_steps = d->request->steps - first } };
	memcpy(e->rule.coefficients, p->parts.step_cache, sizeof p->parts.step_cache);
	for (i = 0; i < PASSES; i++) {
		e->pass[i].caption = captions[i];
		e->pass[i].velocity = calloc(d->n, sizeof *e->pass[i].velocity);
		good = good && e->pass[i].velocity;
	}
	r = good ? choose_batches(e, err) : err_set(err, -ENOMEM, "denoising: out of memory");
	if (r < 0)
		evaluator_finish(e);
	return r;
}

void evaluator_finish(struct evaluator *e)
{
	unsigned i;

	for (i = 0; i < PASSES; i++) {
		free(e->pass[i].velocity);
		free(e->pass[i].change);
		free(e->signal[i]);
	}
	free(e->spared);
	*e = (struct evaluator){ 0 };
}

/* The transformer's velocity for caption i of a graph after its run. */
static int take_velocity(struct evaluator *e, struct stage *s, unsigned i, struct pass *pass,
			 const struct moment *at, struct err *err)
{
	const struct family_parts *parts = &e->p->parts;

	parts->family->transformer->velocity(parts->transformer, s->graph, s->built, i,
					     pass->velocity);
	workshop_tap(&e->p->shop, pass->velocity, e->d->n, "%svelocity.%u", pass->caption->prefix,
		     at->step);
	return check_finite(pass->velocity, e->d->n, "the transformer's results", err);
}

/* ---- all of the transformer ---- */

/* after - before; what the signal was a step earlier is not needed any more. */
static void take_change(struct evaluator *e, const struct stage *s, unsigned i, struct pass *pass)
{
	float *before = e->signal[1];
	size_t k;

	graph_read(s->graph, s->aside[0], before);
	graph_read(s->graph, s->aside[1 + i], pass->change);
	for (k = 0; k < e->n_hidden; k++)
		pass->change[k] -= before[k];
}

static void feed(struct evaluator *e, struct stage *s, const struct pass *pass, unsigned n,
		 const struct moment *at)
{
	const struct family_parts *parts = &e->p->parts;
	const float *refined[PASSES];
	unsigned i;

	for (i = 0; i < n; i++)
		refined[i] = pass[i].caption->refined;
	parts->family->transformer->feed(parts->transformer, s->graph, s->built, at->latent,
					 at->sigma, refined,
					 (const float *const *)e->d->reference, &e->d->canvas);
}

/* n passes in one graph; their captions are as long as each other. */
static int compute(struct evaluator *e, struct pass *pass, unsigned n, const struct moment *at,
		   struct err *err)
{
	const struct step_model model = { &e->p->parts, &e->d->canvas };
	struct stage *s;
	uint32_t shape[STAGE_DIMS];
	char prefix[PASSES][64];
	const char *const prefixes[PASSES] = { prefix[0], prefix[1] };
	unsigned i;
	int r;

	step_shape(&e->d->canvas, n, pass->caption->rows, is_teacache(e), shape);
	r = stage_ready(&e->p->shop, &e->p->step, &step_kind, &model, shape, &s, err);
	if (r < 0)
		return r;
	feed(e, s, pass, n, at);
	for (i = 0; i < n; i++)
		snprintf(prefix[i], sizeof prefix[i], "%sstep%u.", pass[i].caption->prefix,
			 at->step);
	r = stage_run_batch(&e->p->shop, s, prefixes, n, err);
	for (i = 0; i < n && r == 0; i++) {
		if (is_teacache(e))
			take_change(e, s, i, &pass[i]);
		r = take_velocity(e, s, i, &pass[i], at, err);
	}
	return r;
}

/* ---- TeaCache's part ---- */

static int make_room(struct evaluator *e, T signal, struct err *err)
{
	bool good = true;
	unsigned i;

	if (e->n_hidden)
		return 0;
	e->n_hidden = (size_t)signal.rows * signal.cols;
	for (i = 0; i < PASSES; i++) {
		e->signal[i] = calloc(e->n_hidden, sizeof *e->signal[i]);
		good = good && e->signal[i];
	}
	for (i = 0; i < 1u + e->d->guided; i++) {
		e->pass[i].change = calloc(e->n_hidden, sizeof *e->pass[i].change);
		good = good && e->pass[i].change;
	}
	e->spared = calloc(e->d->n, sizeof *e->spared);
	good = good && e->spared;
	return good ? 0 : err_set(err, -ENOMEM, "step cache: out of memory");
}

static int run_skim(struct evaluator *e, const struct pass *pass, const struct moment *at,
		    struct err *err)
{
	const struct family_parts *parts = &e->p->parts;
	const struct step_model model = { parts, &e->d->canvas };
	struct stage *s;
	uint32_t shape[STAGE_DIMS];
	char prefix[64];
	int r;

	step_shape(&e->d->canvas, 0, 0, true, shape);
	r = stage_ready(&e->p->shop, &e->p->skim, &skim_kind, &model, shape, &s, err);
	if (r == 0)
		r = make_room(e, s->aside[0], err);
	if (r < 0)
		return r;
	e->skim = s;
	parts->family->transformer->feed(parts->transformer, s->graph, s->built, at->latent,
					 at->sigma, NULL, NULL, &e->d->canvas);
	graph_write(s->graph, s->in[0], pass->change);
	snprintf(prefix, sizeof prefix, "%sskim%u.", pass->caption->prefix, at->step);
	return stage_run(&e->p->shop, s, prefix, err);
}

/* What the step cache decides by. The signal knows no caption: one for both. */
static int measure(struct evaluator *e, const struct moment *at, double *ret, struct err *err)
{
	float *before;
	int r;

	*ret = at->sigma;
	if (!is_teacache(e))
		return 0;
	r = run_skim(e, &e->pass[0], at, err);
	if (r < 0)
		return r;
	before = e->signal[0];
	e->signal[0] = e->signal[1];
	e->signal[1] = before;
	graph_read(e->skim->graph, e->skim->aside[0], e->signal[0]);
	*ret = step_cache_change(e->signal[0], before, e->n_hidden);
	e->p->parts.family->transformer->velocity(e->p->parts.transformer, e->skim->graph,
						  e->skim->built, 0, e->spared);
	return 0;
}

/* The reference's way is to leave the velocity as it is. */
static int reuse(struct evaluator *e, struct pass *pass, const struct moment *at, struct err *err)
{
	int r = 0;

	if (!is_teacache(e))
		return 0;
	/* The first one's change was in when the signal was measured. */
	if (pass != e->pass)
		r = run_skim(e, pass, at, err);
	return r < 0 ? r : take_velocity(e, e->skim, 0, pass, at, err);
}

/*
 * What scripts/fit_teacache.py makes a model's coefficients of: the signal, and how wrong
 * the prompt's velocity would have been without the blocks.
 */
static void tell_error(struct evaluator *e, const struct moment *at, double signal)
{
	if (e->spared && e->pass[0].cache.computed && at->step > e->first)
		log_debug("step cache: step %u signal %.6g error %.6g", at->step, signal,
			  step_cache_change(e->spared, e->pass[0].velocity, e->d->n));
}

static bool decide(struct evaluator *e, struct pass *pass, uint32_t step, double measured)
{
	const struct pipeline_hooks *h = e->p->shop.hooks;
	bool reused = step_cache_reuses(&e->rule, &pass->cache, step - e->first, measured);

	if (h && h->reuses)
		h->reuses(h->context, step, &reused);
	return reused;
}

static int one_by_one(struct evaluator *e, unsigned n_passes, const bool *reused,
		      const struct moment *at, struct err *err)
{
	unsigned i;
	int r = 0;

	for (i = 0; i < n_passes && r == 0; i++)
		r = reused[i] ? reuse(e, &e->pass[i], at, err) :
				compute(e, &e->pass[i], 1, at, err);
	return r;
}

int evaluate(struct evaluator *e, unsigned n_passes, const struct moment *at, struct err *err)
{
	unsigned i, n_reused = 0;
	bool reused[PASSES];
	double measured;
	int r = measure(e, at, &measured, err);

	for (i = 0; i < n_passes && r == 0; i++)
		n_reused += reused[i] = decide(e, &e->pass[i], at->step, measured);
	if (r == 0)
		r = n_passes == PASSES && !n_reused && e->batches ?
			compute(e, e->pass, PASSES, at, err) :
			one_by_one(e, n_passes, reused, at, err);
	if (r < 0)
		return r;
	e->steps_reused += n_reused == n_passes;
	if (!n_reused)
		tell_error(e, at, measured);
	return 0;
}
