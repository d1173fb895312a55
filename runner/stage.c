/*
 * A graph that is built once per shape and run many times. Owns the graph and what the
 * model's builder made. GPU thread.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner/stage.h"

void stage_drop(struct stage *s)
{
	graph_destroy(&s->graph);
	if (s->built)
		s->free_built(s->built);
	memset(s, 0, sizeof *s);
}

static int add_nodes(const struct workshop *w, struct stage *s, const struct stage_kind *kind,
		     const void *model, const uint32_t shape[STAGE_DIMS], struct err *err)
{
	stage_drop(s);
	s->graph = graph_create(w->vk, w->kernels);
	if (!s->graph)
		return err_set(err, -ENOMEM, "out of memory");
	memcpy(s->shape, shape, sizeof s->shape);
	graph_keep_taps(s->graph, w->hooks && w->hooks->tap);
	if (kind->build(model, s) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	graph_output(s->graph, s->out);
	return 0;
}

static bool usable(const struct stage *s, const uint32_t shape[STAGE_DIMS])
{
	return s->graph && !memcmp(s->shape, shape, sizeof s->shape);
}

int stage_ready(struct workshop *w, struct stage *s, const struct stage_kind *kind,
		const void *model, const uint32_t shape[STAGE_DIMS], struct err *err)
{
	int r = 0;

	if (usable(s, shape) && !graph_stale(s->graph, &w->arena))
		return 0;
	if (!usable(s, shape))
		r = add_nodes(w, s, kind, model, shape, err);
	if (r == 0)
		r = graph_build(s->graph, &w->arena, err);
	if (r == 0 && kind->prepare && kind->prepare(model, s) < 0)
		r = err_set(err, -ENOMEM, "out of memory");
	if (r < 0)
		stage_drop(s);
	return r;
}

int stage_plan(struct workshop *w, const struct stage_kind *kind, const void *model,
	       const uint32_t shape[STAGE_DIMS], uint64_t *ret_bytes, struct err *err)
{
	struct stage s = { 0 };
	int r = add_nodes(w, &s, kind, model, shape, err);

	if (r == 0)
		r = graph_plan(s.graph, ret_bytes, err);
	stage_drop(&s);
	return r;
}

static int read_taps(struct workshop *w, const struct stage *s, const char *prefix, struct err *err)
{
	const char *name;
	size_t i;
	T x;

	for (i = 0; (name = graph_tap_name(s->graph, i, &x)); i++) {
		size_t n = (size_t)x.rows * x.cols;
		float *data = calloc(n, sizeof *data);

		if (!data)
			return err_set(err, -ENOMEM, "out of memory");
		graph_read(s->graph, x, data);
		workshop_tap(w, data, n, "%s%s", prefix, name);
		free(data);
	}
	return 0;
}

int stage_run(struct workshop *w, struct stage *s, const char *prefix, struct err *err)
{
	const struct pipeline_hooks *h = w->hooks;
	int r;

	r = graph_run(s->graph, h ? h->cancelled : NULL, h ? h->context : NULL, err);
	if (r == 0 && h && h->tap)
		r = read_taps(w, s, prefix, err);
	return r;
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
