#ifndef EASEL_GATEWAY_JOB_H
#define EASEL_GATEWAY_JOB_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/manifest.h"
#include "common/name.h"
#include "common/proto.h"
#include "common/store.h"
#include "gateway/bodies.h"
#include "gateway/http.h"
#include "gateway/sched.h"

struct job;
struct catalog;

/* How a job's life reaches its client; one per route. Not called once the client left. */
struct job_handler {
	/* Denoising steps finished of the picture being drawn: 0, 1, ..., total. */
	void (*progress)(struct job *job, uint32_t step, uint32_t total);
	/* job->n_made counts the pictures before this one. */
	void (*image)(struct job *job, const void *file, size_t len);
	void (*ready)(struct job *job);         /* load_only: the model is there */
	void (*failed)(struct job *job, const struct err *err);
	void (*destroy)(struct job *job);       /* frees the struct around job; always called */
	/* What the picture being drawn is like so far; may be NULL. */
	void (*partial)(struct job *job, const struct msg_partial *p, const void *file, size_t len);
};

/* One request's life: queued, loading, running, done. */
struct job {
	struct sched_request request;
	const struct job_handler *handler;
	struct pool *pool;
	struct http_request *q;         /* NULL: the client left */
	char *model;                    /* the client's spelling */
	struct model_name name;         /* the existing one */
	struct manifest *manifest;
	json_t *details;                /* of the model, for ps */
	json_t *defaults;               /* its params layer, or NULL */
	unsigned abilities;             /* of the model: enum model_ability */
	struct picture_params params;
	struct uploads *held_by;        /* counts the prompts; NULL: does not yet */
	size_t held;
	/* fixed when it starts */
	uint64_t id;                    /* of the picture being drawn */
	uint64_t seed;                  /* of the first picture */
	uint32_t width, height, steps;  /* a side of 0: as the first input picture says */
	unsigned n_made;
	uint32_t tokens;                /* of the prompt, as the runner told with a picture */
	bool caches_steps;              /* steps_reused, of the picture last drawn, is told */
	uint32_t steps_reused;
	uint32_t next_step;             /* to be reported */
	int64_t began_ns, ready_ns;     /* monotonic */
};

/* Finds the model: -EINVAL, -EPERM, -ENOENT "model '<as written>' not found", -EBADMSG. */
int job_find_model(struct job *job, struct catalog *catalog, const char *model, struct err *err);
/* -EINVAL: the model cannot draw, or not what was asked. */
int job_check(const struct job *job, struct err *err);
/* Counts the prompts among all; false when there is no room. */
bool job_hold_prompts(struct job *job, struct uploads *all);
/* Frees what job_find_model() and the params hold. */
void job_clear(struct job *job);

/*
 * Chooses what the request left open: the model's params layer, then the family's
 * defaults, and the server's of the step cache. Strings of *ret stay the job's.
 */
void job_resolve(struct job *job, const struct msg_ready *family,
		 const struct step_cache_setting *step_cache, struct msg_generate *ret);
uint64_t job_seed(const struct job *job);       /* of the picture being drawn */

#endif
