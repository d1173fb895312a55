#ifndef EASEL_RUNNER_STAGE_H
#define EASEL_RUNNER_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/limits.h"
#include "runner/graph/graph.h"
#include "runner/pipeline.h"

/* What a graph is built for: sizes, then those of reference pictures. Unused ones are 0. */
enum { STAGE_DIMS = 5 + 2 * LIMIT_INPUT_IMAGES };

/* One graph of the pipeline, kept for the next request of the same shape. */
struct stage {
	struct graph *graph;
	uint32_t shape[STAGE_DIMS];                     /* what it was built for */
	T in[2], out, aside[2];                 /* meaning is the builder's; out is made an output */
	void *built;                            /* a model's own handle */
	void (*free_built)(void *built);
};

/* Adds the nodes of a stage for s->shape and sets in, out, built. 0 or -ENOMEM. */
typedef int (*stage_build)(const void *model, struct stage *s);

struct stage_kind {
	stage_build build;
	/* After recording: contents of inputs that never change. May be NULL. */
	int (*prepare)(const void *model, struct stage *s);
};

/* Where stages work. */
struct workshop {
	struct vk *vk;
	struct arena arena;
	const struct pipeline_hooks *hooks;     /* of the running request, or NULL */
};

/* The graph for this shape: the one at hand when it fits, else built anew. */
int stage_ready(struct workshop *w, struct stage *s, const struct stage_kind *kind,
		const void *model, const uint32_t shape[STAGE_DIMS], struct err *err);
/* Arena bytes that this shape takes; nothing is allocated on the device. */
int stage_plan(struct workshop *w, const struct stage_kind *kind, const void *model,
	       const uint32_t shape[STAGE_DIMS], uint64_t *ret_bytes, struct err *err);
/* Runs, asking the request's cancelled(); taps go out as "<prefix><name>". */
int stage_run(struct workshop *w, struct stage *s, const char *prefix, struct err *err);
void stage_drop(struct stage *s);

/* The request's cancelled() for what works on pictures. */
struct image_watch workshop_watch(const struct workshop *w);
/* Hands an intermediate of the host to the tap hook, if there is one. */
void workshop_tap(const struct workshop *w, const float *data, size_t n, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void workshop_progress(const struct workshop *w, const char *phase, uint32_t step, uint32_t total);
/* -EDOM "<what> are not finite numbers ..." */
int check_finite(const float *x, size_t n, const char *what, struct err *err);

#endif
