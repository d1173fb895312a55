#ifndef EASEL_RUNNER_STAGE_H
#define EASEL_RUNNER_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/limits.h"
#include "runner/graph/graph.h"
#include "runner/pipeline.h"

/* What a graph is built for: sizes, then those of reference pictures. Unused ones are 0. */
enum { STAGE_DIMS = 6 + 2 * LIMIT_INPUT_IMAGES };

/* One graph of the pipeline, recorded for one shape. */
struct stage {
	struct graph *graph;
	uint32_t shape[STAGE_DIMS];                     /* what it was built for */
	T in[2], out, aside[3];                 /* meaning is the builder's; out is made an output */
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

/*
 * The graphs of one kind for the shapes used last, the latest first. Besides the one in
 * use as many stay as STAGE_KEPT and STAGE_KEPT_BYTES allow.
 */
enum { STAGE_KEPT = 4 };
struct stage_set {
	struct stage *stage[STAGE_KEPT];        /* NULL behind the last */
	struct stage_size {
		uint32_t shape[STAGE_DIMS];
		uint64_t bytes;                 /* 0: unused */
	} planned[STAGE_KEPT];                  /* answers of stage_plan() */
	unsigned next_planned;
};

/* Where stages work. */
struct workshop {
	struct vk *vk;
	struct kernels kernels;
	struct arena arena;
	const struct pipeline_hooks *hooks;     /* of the running request, or NULL */
};

/*
 * The graph for this shape, ready to run: a kept one, recorded again where the arena has
 * moved since, else built anew. *ret is the set's, until its next stage_ready().
 */
int stage_ready(struct workshop *w, struct stage_set *set, const struct stage_kind *kind,
		const void *model, const uint32_t shape[STAGE_DIMS], struct stage **ret,
		struct err *err);
/* Arena bytes that this shape takes; nothing is allocated on the device. */
int stage_plan(struct workshop *w, struct stage_set *set, const struct stage_kind *kind,
	       const void *model, const uint32_t shape[STAGE_DIMS], uint64_t *ret_bytes,
	       struct err *err);
/* Runs, asking the request's cancelled(); taps go out as "<prefix><name>". */
int stage_run(struct workshop *w, struct stage *s, const char *prefix, struct err *err);
/* As many sequences as prefixes at once: what has no parts of its own goes out for each. */
int stage_run_batch(struct workshop *w, struct stage *s, const char *const *prefixes, unsigned n,
		    struct err *err);
void stage_set_drop(struct stage_set *set);

/* The request's cancelled() for what works on pictures. */
struct image_watch workshop_watch(const struct workshop *w);
/* Hands an intermediate of the host to the tap hook, if there is one. */
void workshop_tap(const struct workshop *w, const float *data, size_t n, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void workshop_progress(const struct workshop *w, const char *phase, uint32_t step, uint32_t total);
/* -EDOM "<what> are not finite numbers ..." */
int check_finite(const float *x, size_t n, const char *what, struct err *err);

#endif
