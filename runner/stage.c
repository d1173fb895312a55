/*
 * Graphs that are built once per shape and run many times, and which of them are kept.
 * Owns the graphs and what the model's builders made. GPU thread.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner/stage.h"

/* Host memory of the graphs that a set keeps besides the one in use. */
#define STAGE_KEPT_BYTES (UINT64_C(32) << 20)

static void stage_free(struct stage *s)
{
	if (!s)
		return;
	graph_destroy(&s->graph);
	if (s->built)
		s->free_built(s->built);
	free(s);
}

void stage_set_drop(struct stage_set *set)
{
	unsigned i;

	for (i = 0; i < STAGE_KEPT; i++)
		stage_free(set->stage[i]);
	memset(set, 0, sizeof *set);
}

/* A stage with its nodes, placed and recorded nowhere; NULL without memory. */
static struct stage *new_stage(const struct workshop *w, const struct stage_kind *kind,
			       const void *model, const uint32_t shape[STAGE_DIMS],
			       struct err *err)
{
	struct stage *s = calloc(1, sizeof *s);

	if (s)
		s->graph = graph_create(w->vk, w->kernels);
	if (!s || !s->graph) {
		free(s);
		err_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	memcpy(s->shape, shape, sizeof s->shape);
	graph_keep_taps(s->graph, w->hooks && w->hooks->tap);
	if (kind->build(model, s) < 0) {
		stage_free(s);
		err_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	graph_output(s->graph, s->out);
	return s;
}

/* ---- which are kept ---- */

static bool is_shape(const uint32_t a[STAGE_DIMS], const uint32_t b[STAGE_DIMS])
{
	return !memcmp(a, b, STAGE_DIMS * sizeof *a);
}

/* In front of the others; those behind at most STAGE_KEPT - 1. */
static void push_front(struct stage_set *set, struct stage *s)
{
	stage_free(set->stage[STAGE_KEPT - 1]);
	memmove(&set->stage[1], &set->stage[0], (STAGE_KEPT - 1) * sizeof set->stage[0]);
	set->stage[0] = s;
}

/* Takes it out; NULL when there is none of this shape. */
static struct stage *take(struct stage_set *set, const uint32_t shape[STAGE_DIMS])
{
	struct stage *s;
	unsigned i;

	for (i = 0; i < STAGE_KEPT && set->stage[i]; i++)
		if (is_shape(set->stage[i]->shape, shape))
			break;
	if (i == STAGE_KEPT || !set->stage[i])
		return NULL;
	s = set->stage[i];
	memmove(&set->stage[i], &set->stage[i + 1],
		(STAGE_KEPT - 1 - i) * sizeof set->stage[0]);
	set->stage[STAGE_KEPT - 1] = NULL;
	return s;
}

/* Lets go of the oldest while those behind the first take too much memory. */
static void trim(struct stage_set *set)
{
	uint64_t bytes = 0;
	unsigned i;

	for (i = 1; i < STAGE_KEPT && set->stage[i]; i++) {
		bytes += graph_host_bytes(set->stage[i]->graph);
		if (bytes <= STAGE_KEPT_BYTES)
			continue;
		stage_free(set->stage[i]);
		memmove(&set->stage[i], &set->stage[i + 1],
			(STAGE_KEPT - 1 - i) * sizeof set->stage[0]);
		set->stage[STAGE_KEPT - 1] = NULL;
		i--;
	}
}

/* Recorded for the arena as it is now. */
static int record(struct workshop *w, struct stage *s, const struct stage_kind *kind,
		  const void *model, struct err *err)
{
	int r;

	if (!graph_stale(s->graph, &w->arena))
		return 0;
	r = graph_build(s->graph, &w->arena, err);
	if (r == 0 && kind->prepare && kind->prepare(model, s) < 0)
		r = err_set(err, -ENOMEM, "out of memory");
	return r;
}

int stage_ready(struct workshop *w, struct stage_set *set, const struct stage_kind *kind,
		const void *model, const uint32_t shape[STAGE_DIMS], struct stage **ret,
		struct err *err)
{
	struct stage *s = take(set, shape);
	int r;

	if (!s)
		s = new_stage(w, kind, model, shape, err);
	if (!s)
		return -ENOMEM;
	r = record(w, s, kind, model, err);
	if (r < 0) {
		stage_free(s);
		return r;
	}
	push_front(set, s);
	trim(set);
	*ret = s;
	return 0;
}

/* ---- planning ---- */

/* 0: not known. */
static uint64_t known_plan(const struct stage_set *set, const uint32_t shape[STAGE_DIMS])
{
	unsigned i;

	for (i = 0; i < STAGE_KEPT; i++)
		if (is_shape(set->planned[i].shape, shape))
			return set->planned[i].bytes;
	return 0;
}

static void note_plan(struct stage_set *set, const uint32_t shape[STAGE_DIMS], uint64_t bytes)
{
	struct stage_size *p = &set->planned[set->next_planned];

	set->next_planned = (set->next_planned + 1) % STAGE_KEPT;
	memcpy(p->shape, shape, sizeof p->shape);
	p->bytes = bytes;
}

int stage_plan(struct workshop *w, struct stage_set *set, const struct stage_kind *kind,
	       const void *model, const uint32_t shape[STAGE_DIMS], uint64_t *ret_bytes,
	       struct err *err)
{
	struct stage *s;
	int r;

	*ret_bytes = known_plan(set, shape);
	if (*ret_bytes)
		return 0;
	s = new_stage(w, kind, model, shape, err);
	if (!s)
		return -ENOMEM;
	r = graph_plan(s->graph, ret_bytes, err);
	stage_free(s);
	if (r == 0)
		note_plan(set, shape, *ret_bytes);
	return r;
}

/* ---- running ---- */

static int read_taps(struct workshop *w, const struct stage *s, const char *const *prefixes,
		     unsigned n_prefixes, struct err *err)
{
	const char *name;
	unsigned i, parts;
	size_t tap;
	T x;

	for (tap = 0; (name = graph_tap_name(s->graph, tap, &x, &parts)); tap++) {
		const size_t n = (size_t)x.rows * x.cols;
		float *data = calloc(n, sizeof *data);

		if (!data)
			return err_set(err, -ENOMEM, "out of memory");
		graph_read(s->graph, x, data);
		for (i = 0; i < n_prefixes; i++)
			workshop_tap(w, data + i % parts * (n / parts), n / parts, "%s%s",
				     prefixes[i], name);
		free(data);
	}
	return 0;
}

int stage_run_batch(struct workshop *w, struct stage *s, const char *const *prefixes, unsigned n,
		    struct err *err)
{
	const struct pipeline_hooks *h = w->hooks;
	int r;

	r = graph_run(s->graph, h ? h->cancelled : NULL, h ? h->context : NULL, err);
	if (r == 0 && h && h->tap)
		r = read_taps(w, s, prefixes, n, err);
	return r;
}

int stage_run(struct workshop *w, struct stage *s, const char *prefix, struct err *err)
{
	return stage_run_batch(w, s, &prefix, 1, err);
}

struct image_watch workshop_watch(const struct workshop *w)
{
	if (!w->hooks)
		return (struct image_watch){ 0 };
	return (struct image_watch){ .cancelled = w->hooks->cancelled, .context = w->hooks->context };
}

void workshop_tap(const struct workshop *w, const float *data, size_t n, const char *format, ...)
{
	char name[128];
	va_list ap;

	if (!w->hooks || !w->hooks->tap)
		return;
	va_start(ap, format);
	vsnprintf(name, sizeof name, format, ap);
	va_end(ap);
	w->hooks->tap(w->hooks->context, name, data, n);
}

void workshop_progress(const struct workshop *w, const char *phase, uint32_t step, uint32_t total)
{
	if (w->hooks && w->hooks->progress)
		w->hooks->progress(w->hooks->context, phase, step, total);
}

int check_finite(const float *x, size_t n, const char *what, struct err *err)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!isfinite(x[i]))
			return err_set(err, -EDOM,
				       "%s are not finite numbers (NaN or infinite): the model's "
				       "weights are damaged or overflow", what);
	return 0;
}
