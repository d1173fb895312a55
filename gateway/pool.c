/*
 * The models in memory, one runner each: performs the scheduler's actions and reports
 * to it what the runners say. Owns loaded models and the jobs that were submitted;
 * runs on the event loop.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/timefmt.h"
#include "gateway/metrics.h"
#include "gateway/pool_private.h"

#define CANCEL_MS 1000                  /* a runner that goes on drawing longer is killed */

static void pump(struct pool *pool);

/* ---- jobs ---- */

static void count_failure(const struct job *job)
{
	char name[NAME_TEXT_SIZE];

	name_short(&job->name, name);
	metrics_count(job->pool->gw->metrics, METRIC_FAILURES, name);
}

/* Its last words: the handler ends the answer, and the client's leaving is no news. */
static void tell(struct job *job, const struct err *err)
{
	if (err && err->code != -ECANCELED)
		count_failure(job);
	if (job->q) {
		http_on_gone(job->q, NULL, NULL);
		if (err)
			job->handler->failed(job, err);
		else
			job->handler->ready(job);
	}
	job->handler->destroy(job);
}

static void on_client_gone(void *owner)
{
	struct job *job = owner;
	struct pool *pool = job->pool;
	struct sched_model *model = job->request.model;

	job->q = NULL;
	if (sched_cancel(&pool->sched, &job->request, time_monotonic_ns())) {
		job->handler->destroy(job);
	} else {
		struct loaded *l = model->owner;
		struct msg m = { .type = MSG_CANCEL, .cancel.job = job->id };
		struct timeval limit = { .tv_sec = CANCEL_MS / 1000,
					 .tv_usec = CANCEL_MS % 1000 * 1000 };

		log_debug("%s: the client left, cancelling", model->name);
		runner_send(l->runner, &m);
		evtimer_add(l->cancel_timer, &limit);
	}
	pump(pool);
}

int pool_submit(struct pool *pool, struct job *job, const int64_t *keep_alive_ns, struct err *err)
{
	char name[NAME_TEXT_SIZE];
	int r;

	name_short(&job->name, name);
	job->pool = pool;
	if (upload_fits(job->params.inputs.owner) &&
	    job_hold_prompts(job, &pool->gw->uploads))
		r = sched_submit(&pool->sched, &job->request, job->manifest->digest, name,
				 keep_alive_ns, time_monotonic_ns(), err);
	else
		r = sched_busy(err);
	if (r < 0) {
		job->handler->destroy(job);
		return r;
	}
	http_on_gone(job->q, on_client_gone, job);
	pump(pool);
	return 0;
}

/* ---- drawing ---- */

static void draw_next(struct loaded *l)
{
	struct job *job = l->job;
	struct picture_inputs *in = &job->params.inputs;
	struct msg m = { .type = MSG_GENERATE };
	uint64_t seed = job->seed;

	job_resolve(job, &l->ready, &l->pool->gw->step_cache, &m.generate);
	log_trace("%s draws: %s", l->model->name, m.generate.prompt);
	if (job->n_made)
		job->seed = seed;
	job->id = ++l->pool->last_id;
	job->next_step = 0;
	l->phase = NULL;
	m.generate.job = job->id;
	m.generate.seed = job_seed(job);
	/* A closed socket is told by exited(), which fails the job. */
	if (runner_send_files(l->runner, &m, in->owner, in->files, in->n + in->has_mask) == -ENOMEM)
		runner_kill(l->runner, "out of memory while sending a request");
	/* The last picture's: what is not sent yet holds them itself. */
	if (job->n_made + 1 == job->params.count)
		picture_inputs_clear(in);
}

static void start_job(struct loaded *l, struct job *job)
{
	l->job = job;
	job->ready_ns = time_monotonic_ns();
	metrics_observe(l->pool->gw->metrics, METRIC_QUEUE_SECONDS, seconds_since(job->began_ns),
			l->model->name);
	log_request(LOG_DEBUG, job->q->id, "%s: drawing", l->model->name);
	draw_next(l);
}

static struct job *find_job(const struct loaded *l, uint64_t id)
{
	if (l->writing && l->writing->id == id)
		return l->writing;
	return l->job && l->job->id == id ? l->job : NULL;
}

static bool is_cancelled(const struct job *job)
{
	return job && !job->q;
}

/* The runner is done with it. */
static struct job *finish_job(struct loaded *l, struct job *job)
{
	if (job == l->writing)
		l->writing = NULL;
	else
		l->job = NULL;
	if (job == l->announced)
		l->announced = NULL;
	if (!is_cancelled(l->writing) && !is_cancelled(l->job))
		evtimer_del(l->cancel_timer);
	sched_finished(&l->pool->sched, &job->request, time_monotonic_ns());
	return job;
}

/* The runner is free for the next request, while it makes a file of a last picture. */
static void on_drawn(struct loaded *l, const struct msg_drawn *d)
{
	struct job *job = l->job;

	if (!job || d->job != job->id)
		return;
	loaded_time_phase(l, NULL);
	if (job->n_made + 1 < job->params.count)
		return;
	if (l->writing) {
		runner_kill(l->runner, "the runner broke the protocol: it drew a picture before it "
			    "sent the last one");
		return;
	}
	log_debug("%s: picture %llu is drawn", l->model->name, (unsigned long long)job->id);
	l->writing = job;
	l->job = NULL;
	sched_drawn(&l->pool->sched, l->model);
}

static void on_progress(struct loaded *l, const struct msg_progress *p)
{
	struct job *job = l->job;

	if (!job || !job->q || p->job != job->id)
		return;
	loaded_time_phase(l, p->phase);
	if (strcmp(p->phase, "denoise"))
		return;
	if (p->step && p->step >= job->next_step)
		loaded_time_steps(l, p->step + 1 - (job->next_step ? job->next_step : 1));
	/* Every step is told once and in order, whatever the runner left out. */
	for (; job->next_step <= p->step && p->step <= p->total; job->next_step++)
		job->handler->progress(job, job->next_step, p->total);
}

static void on_failed(struct loaded *l, const struct msg_failed *f)
{
	struct job *job = find_job(l, f->job);
	struct err err;

	err_set(&err, msg_failed_code(f->code), "%s", f->text);
	if (!l->is_ready) {
		/* Whatever is wrong with a stored model is not the client's fault. */
		err.code = -EIO;
		l->err = err;
		sched_refused(&l->pool->sched, l->model, &err);
	} else if (job) {
		if (job == l->job)
			l->phase = NULL;
		/* Drawing knows two faults of the client: its request, and its leaving. */
		if (err.code != -EINVAL && err.code != -ECANCELED)
			err.code = -EIO;
		tell(finish_job(l, job), &err);
	}
}

/* The picture that comes next; with input pictures only now its size is known. */
static void on_announced(struct loaded *l, const struct msg_image *image)
{
	struct job *job = l->announced = find_job(l, image->job);

	if (!job)
		return;
	job->width = image->width;
	job->height = image->height;
	job->tokens = image->tokens;
	if (job == l->job)
		loaded_time_phase(l, NULL);
	job->steps_reused = image->steps_reused;
	log_debug("%s: drew %ux%u in %u steps", l->model->name, job->width, job->height,
		  job->steps);
}

static void on_partial(void *owner, const struct msg_partial *p, const void *file, size_t len)
{
	struct loaded *l = owner;
	struct job *job = l->job;

	if (job && job->q && p->job == job->id && job->handler->partial)
		job->handler->partial(job, p, file, len);
}

static void on_image(void *owner, const void *png, size_t len)
{
	struct loaded *l = owner;
	struct job *job = l->announced;
	struct pool *pool = l->pool;

	if (!job)
		return;
	l->announced = NULL;
	if (job->q) {
		if (job->n_made + 1 == job->params.count)
			http_on_gone(job->q, NULL, NULL);
		job->handler->image(job, png, len);
	}
	job->n_made++;
	metrics_count(pool->gw->metrics, METRIC_IMAGES, l->model->name, loaded_device(l));
	if (job->q && job->n_made < job->params.count) {
		draw_next(l);
		return;
	}
	finish_job(l, job);
	job->q = NULL;
	job->handler->destroy(job);
	pump(pool);
}

/* ---- loading ---- */

static struct job *job_of(struct sched_request *request)
{
	return (struct job *)(void *)request;   /* its first member */
}

/* Of the picture that will be drawn first, NULL when nobody waits for one. */
static char *first_prompt(const struct loaded *l)
{
	struct sched_request *r;

	TAILQ_FOREACH(r, &l->model->requests, link)
		if (!r->load_only)
			return job_of(r)->params.prompt;
	return NULL;
}

static void send_load(struct loaded *l)
{
	struct msg m = { .type = MSG_LOAD };

	m.load.model = l->model->name;
	m.load.digest = l->model->key;
	m.load.root = (char *)(uintptr_t)store_root(l->pool->gw->store);
	m.load.manifest = l->manifest;
	m.load.prompt = first_prompt(l);
	if (runner_send(l->runner, &m) == -ENOMEM)
		runner_kill(l->runner, "out of memory while sending the model");
	json_decref(l->manifest);
	l->manifest = NULL;
}

static void on_hello(struct loaded *l, const struct msg_hello *h)
{
	l->device = h->device ? strdup(h->device) : NULL;
	log_info("loading %s on %s (%s)", l->model->name, h->device ? h->device : "no device",
		 h->device_type ? h->device_type : "unknown");
	send_load(l);
}

static void on_ready(struct loaded *l, const struct msg_ready *ready)
{
	l->is_ready = true;
	l->ready = *ready;
	metrics_count(l->pool->gw->metrics, METRIC_LOADS, l->model->name, loaded_device(l));
	metrics_observe(l->pool->gw->metrics, METRIC_LOAD_SECONDS, seconds_since(l->spawned_ns),
			l->model->name, loaded_device(l));
	sched_loaded(&l->pool->sched, l->model, time_monotonic_ns());
	log_info("%s is loaded: %llu MB of weights", l->model->name,
		 (unsigned long long)(ready->weights / 1000000));
}

static void on_message(void *owner, const struct msg *m)
{
	struct loaded *l = owner;
	struct pool *pool = l->pool;

	switch (m->type) {
	case MSG_HELLO:
		on_hello(l, &m->hello);
		break;
	case MSG_READY:
		on_ready(l, &m->ready);
		break;
	case MSG_PROGRESS:
		on_progress(l, &m->progress);
		return;
	case MSG_DRAWN:
		on_drawn(l, &m->drawn);
		break;
	case MSG_FAILED:
		on_failed(l, &m->failed);
		break;
	case MSG_IMAGE:
		on_announced(l, &m->image);
		return;
	default:
		return;                 /* LOADING only ends the silence */
	}
	pump(pool);
}

static void loaded_free(struct loaded *l)
{
	if (l->cancel_timer)
		event_free(l->cancel_timer);
	json_decref(l->manifest);
	json_decref(l->details);
	free(l->device);
	free(l);
}

static void on_exited(void *owner, const struct err *err)
{
	struct loaded *l = owner;
	struct pool *pool = l->pool;

	if (!l->is_ready)
		metrics_count(pool->gw->metrics, METRIC_LOAD_FAILURES, l->model->name);
	if (l->model->state != SCHED_STOPPING)
		metrics_count(pool->gw->metrics, METRIC_CRASHES, l->model->name);
	sched_exited(&pool->sched, l->model, l->err.code ? &l->err : err, time_monotonic_ns());
	loaded_free(l);
	pump(pool);
}

static const struct runner_handler runner_handler = {
	on_message, on_image, on_exited, on_partial,
};

static void on_cancel_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct loaded *l = arg;

	(void)fd;
	(void)what;
	runner_kill(l->runner, "the runner did not stop drawing when it was told to");
}

static json_t *manifest_json(const struct manifest *m)
{
	size_t len;
	char *text = manifest_print(m, &len);
	json_t *ret = text ? json_parse(text, len, true, NULL) : NULL;

	free(text);
	return ret;
}

static struct loaded *loaded_create(struct pool *pool, struct sched_model *model,
				    const struct job *job)
{
	struct loaded *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->pool = pool;
	l->model = model;
	l->manifest = manifest_json(job->manifest);
	l->details = json_incref(job->details);
	l->bytes = manifest_size(job->manifest);
	l->cancel_timer = evtimer_new(pool->gw->base, on_cancel_timeout, l);
	if (l->manifest && l->cancel_timer)
		return l;
	loaded_free(l);
	return NULL;
}

static void spawn(struct pool *pool, struct sched_model *model, const struct job *job)
{
	struct gateway *gw = pool->gw;
	struct loaded *l = loaded_create(pool, model, job);
	struct err err;
	int r = l ? 0 : err_set(&err, -ENOMEM, "out of memory");

	if (r == 0)
		r = runner_spawn(gw->runners, RUNNER_MODEL, model->name, gw->load_timeout_ns,
				 &runner_handler, l, &l->runner, &err);
	if (r == 0) {
		model->owner = l;
		l->spawned_ns = time_monotonic_ns();
		if (model->n_restarts)
			metrics_count(gw->metrics, METRIC_RESTARTS, model->name);
		return;
	}
	log_error("%s: %s", model->name, err.text);
	err.code = -EIO;
	if (l)
		loaded_free(l);
	sched_exited(&pool->sched, model, &err, time_monotonic_ns());
}

/* ---- the pump ---- */

static void perform(struct pool *pool, const struct sched_action *a)
{
	struct job *job = a->request ? job_of(a->request) : NULL;
	struct loaded *l = a->model ? a->model->owner : NULL;

	switch (a->verb) {
	case SCHED_SPAWN:
		spawn(pool, a->model, job);
		break;
	case SCHED_STOP:
		log_info("unloading %s", a->model->name);
		metrics_count(pool->gw->metrics, METRIC_UNLOADS, a->model->name);
		if (a->model->for_room)
			metrics_count(pool->gw->metrics, METRIC_EVICTIONS, a->model->name);
		runner_stop(l->runner);
		break;
	case SCHED_RUN:
		start_job(l, job);
		break;
	case SCHED_READY:
		job->ready_ns = time_monotonic_ns();
		tell(job, NULL);
		break;
	case SCHED_FAIL:
		tell(job, &a->request->err);
		break;
	}
}

static void set_timer(struct pool *pool, int64_t deadline_ns)
{
	int64_t wait_ns = deadline_ns - time_monotonic_ns();
	struct timeval wait = { 0 };

	if (deadline_ns == INT64_MAX) {
		evtimer_del(pool->timer);
		return;
	}
	if (wait_ns > 0) {
		wait.tv_sec = wait_ns / 1000000000;
		wait.tv_usec = wait_ns % 1000000000 / 1000 + 1;
	}
	evtimer_add(pool->timer, &wait);
}

/* Does all that can be done now. Handlers may come back here; the outer call goes on. */
static void pump(struct pool *pool)
{
	struct sched_action action;

	if (pool->pumping)
		return;
	pool->pumping = true;
	while (sched_next(&pool->sched, time_monotonic_ns(), &action))
		perform(pool, &action);
	pool->pumping = false;

	set_timer(pool, sched_deadline(&pool->sched));
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	pump(arg);
}

int pool_create(struct gateway *gw, const struct pool_limits *limits, struct pool **ret,
		struct err *err)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return err_set(err, -ENOMEM, "out of memory");
	pool->gw = gw;
	sched_init(&pool->sched);
	pool->sched.max_loaded = limits->max_loaded;
	pool->sched.max_queue = limits->max_queue;
	pool->sched.keep_alive_ns = limits->keep_alive_ns;
	pool->timer = evtimer_new(gw->base, on_timer, pool);
	if (!pool->timer) {
		free(pool);
		return err_set(err, -ENOMEM, "out of memory");
	}
	*ret = pool;
	return 0;
}

/* The runners are gone by now, without having told; so are the clients. */
void pool_destroy(struct pool *pool)
{
	struct sched_model *m;

	if (!pool)
		return;
	TAILQ_FOREACH(m, &pool->sched.models, link) {
		struct sched_request *q;

		while ((q = TAILQ_FIRST(&m->requests))) {
			TAILQ_REMOVE(&m->requests, q, link);
			job_of(q)->q = NULL;
			job_of(q)->handler->destroy(job_of(q));
		}
		if (m->owner)
			loaded_free(m->owner);
	}
	sched_finish(&pool->sched);
	event_free(pool->timer);
	free(pool);
}

void pool_set_max_loaded(struct pool *pool, unsigned max_loaded)
{
	pool->sched.max_loaded = max_loaded;
	pump(pool);
}

void pool_unload(struct pool *pool, const char *digest, const char *name, const char *except_digest)
{
	sched_unload(&pool->sched, digest, name, except_digest, time_monotonic_ns());
	pump(pool);
}
