/*
 * The GPU thread and its mailbox: work comes in under a mutex, reports go out through a
 * queue that an async handle empties on the loop, which has pictures encoded on the way.
 * Everything of Vulkan and the pipeline is touched by the GPU thread only.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "common/limits.h"
#include "common/log.h"
#include "common/timefmt.h"
#include "runner/encoder.h"
#include "runner/metadata.h"
#include "runner/pipeline.h"
#include "runner/vk/vk.h"
#include "runner/worker.h"

#define LOADING_NS 100000000            /* between two loading messages */

struct entry {
	struct entry *next;
	struct worker_event event;
	struct picture picture;         /* with pixels: for the encoder, and there is no event */
};

struct worker {
	uv_thread_t thread;
	uv_async_t async;
	worker_handler handler;
	void *context;
	char *device;

	uv_mutex_t mutex;               /* guards the next five */
	uv_cond_t wake;
	struct worker_task task;        /* MSG_NONE: nothing to do */
	uint64_t job;                   /* of the picture being drawn; 0: none */
	bool stopping;
	struct entry *first, **last;    /* reports on their way to the loop */

	atomic_bool cancelled;          /* asked by the GPU thread between slices */

	/* The loop's own. */
	struct encoder encoder;
	bool ended;                     /* told when that has nothing left */

	/* The GPU thread's own. */
	struct vk *vk;
	struct store *store;
	struct manifest *manifest;
	struct pipeline *pipeline;
	int64_t loading_ns;             /* when the last loading message went */
	char *model, *digest;           /* of its manifest, as the gateway calls it */
	struct inputs *inputs;          /* of the task at work */
	const struct msg_generate *request;     /* of the task at work, as it is drawn */
	uint32_t n_unfinished;          /* of its pictures, so far */
};

/* ---- reports, GPU thread ---- */

static struct entry *new_entry(enum worker_event_type type)
{
	struct entry *e = calloc(1, sizeof *e);

	/* A report that is lost would leave the gateway waiting for ever. */
	if (!e) {
		fputs("out of memory\n", stderr);
		abort();
	}
	e->event.type = type;
	return e;
}

static char *copy_text(const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy) {
		fputs("out of memory\n", stderr);
		abort();
	}
	return copy;
}

static void post(struct worker *w, struct entry *e)
{
	uv_mutex_lock(&w->mutex);
	*w->last = e;
	w->last = &e->next;
	uv_mutex_unlock(&w->mutex);
	uv_async_send(&w->async);
}

static void post_message(struct worker *w, const struct msg *m)
{
	struct entry *e = new_entry(WORKER_MESSAGE);

	e->event.msg = *m;
	post(w, e);
}

static void post_failed(struct worker *w, uint64_t job, int code, const char *text)
{
	post_message(w, &(struct msg){ .type = MSG_FAILED, .failed = {
		.job = job, .code = copy_text(msg_failed_name(code)), .text = copy_text(text) } });
}

static void post_hello(struct worker *w)
{
	const struct vk_device_info *info = vk_info(w->vk);

	post_message(w, &(struct msg){ .type = MSG_HELLO, .hello = {
		.version = PROTO_VERSION,
		.device = copy_text(info->name),
		.device_type = copy_text(vk_type_name(info->type)),
		.driver = copy_text(info->driver),
		.memory_total = info->memory_total,
		.memory_available = info->memory_available } });
}

/* ---- load ---- */

static void on_loading(void *context, uint64_t completed, uint64_t total)
{
	struct worker *w = context;
	int64_t now = time_monotonic_ns();

	if (completed < total && now - w->loading_ns < LOADING_NS)
		return;
	w->loading_ns = now;
	post_message(w, &(struct msg){ .type = MSG_LOADING,
		.loading = { .completed = completed, .total = total } });
}

/* The manifest came as JSON inside the message; its checks are those of a file. */
static int read_manifest(const json_t *value, struct manifest **ret, struct err *err)
{
	char *text = json_dumps(value, JSON_COMPACT);
	int r;

	if (!text)
		return err_set(err, -ENOMEM, "out of memory");
	r = manifest_parse(text, strlen(text), ret, err);
	free(text);
	return r;
}

static int open_model(struct worker *w, const struct msg_load *load, struct err *err)
{
	const struct pipeline_loading loading = {
		.progress = on_loading, .context = w, .prompt = load->prompt,
	};
	int r = read_manifest(load->manifest, &w->manifest, err);

	w->model = copy_text(load->model);
	w->digest = copy_text(load->digest);
	if (r == 0)
		r = store_open(load->root, &w->store, err);
	if (r == 0)
		r = pipeline_open(w->vk, w->store, w->manifest, &loading, &w->pipeline, err);
	return r;
}

static void post_ready(struct worker *w)
{
	const struct pipeline_defaults *d = pipeline_defaults(w->pipeline);
	uint64_t weights = pipeline_weight_bytes(w->pipeline);
	bool software = vk_info(w->vk)->type == VK_SOFTWARE;

	post_message(w, &(struct msg){ .type = MSG_READY, .ready = {
		.weights = weights,
		.vram = software ? 0 : weights,
		.workspace = pipeline_workspace_bytes(w->pipeline),
		.width = d->width, .height = d->height, .steps = d->steps,
		.guidance = d->guidance } });
}

static void load(struct worker *w, const struct msg_load *m)
{
	struct err err;
	int r = open_model(w, m, &err);

	if (r < 0)
		post_failed(w, 0, r, err.text);
	else
		post_ready(w);
}

/* ---- generate ---- */

static bool is_cancelled(void *context)
{
	struct worker *w = context;

	return atomic_load(&w->cancelled);
}

static void on_progress(void *context, const char *phase, uint32_t step, uint32_t total)
{
	struct worker *w = context;

	/* Only this thread changes job while a picture is drawn. */
	post_message(w, &(struct msg){ .type = MSG_PROGRESS, .progress = {
		.job = w->job, .phase = copy_text(phase), .step = step, .total = total } });
}

/* Pictures as they came can be large; what is drawn from is copies at the output's size. */
static void on_inputs_done(void *context)
{
	struct worker *w = context;

	inputs_finish(w->inputs);
}

/* Takes rgb over, also on error. */
static int post_picture(struct worker *w, const struct picture *as, struct image *rgb,
			struct err *err)
{
	const struct msg_generate *g = w->request;
	const struct picture_facts facts = {
		.model = w->model, .digest = w->digest, .request = g,
		.width = as->width, .height = as->height,
		.strength = pipeline_drawn(w->pipeline)->strength,
	};
	struct entry *e = new_entry(WORKER_MESSAGE);
	struct picture *p = &e->picture;
	int r;

	*p = *as;
	p->job = g->job;
	p->seed = g->seed;
	p->format = output_format_of(g->format);
	p->quality = g->quality;
	p->rgb = *rgb;
	r = p->unfinished ? metadata_make_unfinished(&p->notes, err) :
	    metadata_make(&facts, p->format, &p->notes, err);
	if (r == 0) {
		post(w, e);
		return 0;
	}
	picture_finish(p);
	free(e);
	return r;
}

static int post_drawn(struct worker *w, struct image *rgb, struct err *err)
{
	const struct pipeline_drawn *drawn = pipeline_drawn(w->pipeline);

	return post_picture(w, &(struct picture){
		.steps_reused = drawn->steps_reused, .tokens = drawn->tokens,
		.width = rgb->width, .height = rgb->height }, rgb, err);
}

static int on_partial(void *context, struct image *rgb, struct err *err)
{
	struct worker *w = context;
	const struct msg_generate *g = w->request;

	return post_picture(w, &(struct picture){
		.unfinished = true, .index = w->n_unfinished++,
		.width = g->width, .height = g->height }, rgb, err);
}

/* A cancel that comes from here on is for a picture that is over. */
static void end_job(struct worker *w)
{
	uv_mutex_lock(&w->mutex);
	w->job = 0;
	uv_mutex_unlock(&w->mutex);
}

/* Pictures first: they say what the request leaves open. */
static int draw(struct worker *w, struct msg_generate *g, struct inputs *in, struct image *ret,
		struct err *err)
{
	const struct pipeline_hooks hooks = {
		.context = w, .cancelled = is_cancelled, .progress = on_progress,
		.inputs_done = on_inputs_done, .partial = on_partial,
	};
	const struct image_watch watch = { .cancelled = is_cancelled, .context = w };
	struct pipeline_request request;
	int r = inputs_read(in, g, &watch, err);

	if (r < 0)
		return r;
	w->inputs = in;
	w->request = g;
	w->n_unfinished = 0;
	request = (struct pipeline_request){
		.prompt = g->prompt, .negative = g->negative,
		.width = g->width, .height = g->height, .steps = g->steps, .seed = g->seed,
		.guidance = g->guidance, .cfg_normalization = g->cfg_normalization,
		.cfg_truncation = g->cfg_truncation,
		.images = in->n_images ? in->images : NULL, .n_images = in->n_images,
		.strength = g->strength, .mask = g->mask ? &in->mask : NULL,
		.partial_images = g->partial_images,
		.step_cache = { step_cache_mode_of(g->step_cache), g->step_cache_threshold },
	};
	return pipeline_generate(w->pipeline, &request, &hooks, ret, err);
}

static void generate(struct worker *w, struct worker_task *t)
{
	struct msg_generate *g = &t->msg.generate;
	struct image rgb;
	struct err err;
	int r = draw(w, g, &t->inputs, &rgb, &err);

	end_job(w);
	if (r == 0)
		r = post_drawn(w, &rgb, &err);
	if (r < 0)
		post_failed(w, g->job, r, err.text);
	vk_kernels_save(w->vk);
}

/* ---- the thread ---- */

/* Waits for work; false when it is time to end. */
static bool next_task(struct worker *w, struct worker_task *ret)
{
	bool stopping;

	uv_mutex_lock(&w->mutex);
	while (w->task.msg.type == MSG_NONE && !w->stopping)
		uv_cond_wait(&w->wake, &w->mutex);
	*ret = w->task;
	w->task = (struct worker_task){ 0 };
	stopping = w->stopping;
	uv_mutex_unlock(&w->mutex);
	if (stopping)
		worker_task_clear(ret);
	return !stopping;
}

static void work(struct worker *w)
{
	struct worker_task task;

	/* A lost device does not come back for this process: the gateway starts another. */
	while (!vk_lost(w->vk) && next_task(w, &task)) {
		if (task.msg.type == MSG_LOAD)
			load(w, &task.msg.load);
		else
			generate(w, &task);
		worker_task_clear(&task);
	}
	pipeline_close(&w->pipeline);
	manifest_free(w->manifest);
	if (w->store)
		store_close(w->store);
	free(w->model);
	free(w->digest);
}

static void thread_main(void *context)
{
	struct worker *w = context;
	struct err err;

	if (vk_open(w->device, &w->vk, &err) < 0) {
		struct entry *e = new_entry(WORKER_UNUSABLE);

		memcpy(e->event.text, err.text, sizeof e->event.text);
		post(w, e);
	} else {
		post_hello(w);
		work(w);
		vk_close(&w->vk);
	}
	post(w, new_entry(WORKER_ENDED));
}

/* ---- the loop's side ---- */

static void tell(struct worker *w, const struct worker_event *event)
{
	struct worker_event owned = *event;

	w->handler(w->context, &owned);
}

/* The GPU thread is free once no other picture stands before this one. */
static void on_begun(void *context, const struct picture *p)
{
	if (!p->unfinished)
		tell(context, &(struct worker_event){ .type = WORKER_MESSAGE,
			.msg = { .type = MSG_DRAWN, .drawn = { .job = p->job } } });
}

static void tell_encoded(struct worker *w, const struct picture *p, struct buf *file)
{
	struct worker_event event = { .type = WORKER_MESSAGE };

	event.file = buf_take(file, &event.file_len);
	if (p->unfinished)
		event.msg = (struct msg){ .type = MSG_PARTIAL, .partial = {
			.job = p->job, .bytes = event.file_len, .index = p->index,
			.width = p->width, .height = p->height } };
	else
		event.msg = (struct msg){ .type = MSG_IMAGE, .image = {
			.job = p->job, .bytes = event.file_len, .width = p->width,
			.height = p->height, .seed = p->seed, .tokens = p->tokens,
			.steps_reused = p->steps_reused } };
	tell(w, &event);
}

static void tell_failed(struct worker *w, uint64_t job, int code, const char *text)
{
	tell(w, &(struct worker_event){ .type = WORKER_MESSAGE,
		.msg = { .type = MSG_FAILED, .failed = { .job = job,
			.code = copy_text(msg_failed_name(code)), .text = copy_text(text) } } });
}

/* An unfinished picture that cannot be had is not missed. */
static void on_encoded(void *context, const struct picture *p, struct buf *file, int r,
		       const struct err *err)
{
	struct worker *w = context;

	if (r == 0)
		tell_encoded(w, p, file);
	else if (!p->unfinished)
		tell_failed(w, p->job, r, err->text);
}

static void on_encoder_idle(void *context)
{
	struct worker *w = context;

	if (w->ended)
		tell(w, &(struct worker_event){ .type = WORKER_ENDED });
}

static const struct encoder_handler encoder_handler = { on_begun, on_encoded, on_encoder_idle };

/* What the GPU thread reports; false for what is told later. */
static bool is_event(struct worker *w, struct entry *e)
{
	const struct msg *m = &e->event.msg;

	if (e->event.type == WORKER_ENDED && w->encoder.busy) {
		w->ended = true;
		return false;
	}
	if (m->type == MSG_FAILED)              /* nothing of a job comes behind that */
		encoder_cancel(&w->encoder, m->failed.job);
	if (!e->picture.rgb.pixels)
		return true;
	if (w->stopping)                        /* only this thread changes it */
		picture_finish(&e->picture);
	else
		encoder_add(&w->encoder, &e->picture);
	return false;
}

static void on_async(uv_async_t *async)
{
	struct worker *w = async->data;
	worker_handler handler = w->handler;
	void *context = w->context;
	struct entry *e;

	uv_mutex_lock(&w->mutex);
	e = w->first;
	w->first = NULL;
	w->last = &w->first;
	uv_mutex_unlock(&w->mutex);

	/* The last event frees w, so it is not touched from here on. */
	while (e) {
		struct entry *next = e->next;

		if (is_event(w, e))
			handler(context, &e->event);
		free(e);
		e = next;
	}
}

static void on_closed(uv_handle_t *handle)
{
	struct worker *w = handle->data;

	worker_task_clear(&w->task);    /* given to a thread that had lost its device */
	uv_cond_destroy(&w->wake);
	uv_mutex_destroy(&w->mutex);
	free(w->device);
	free(w);
}

static int start(uv_loop_t *loop, struct worker *w)
{
	int r = uv_async_init(loop, &w->async, on_async);

	if (r < 0)
		return r;
	w->async.data = w;
	r = uv_thread_create(&w->thread, thread_main, w);
	if (r < 0)
		uv_close((uv_handle_t *)&w->async, NULL);
	return r;
}

int worker_create(uv_loop_t *loop, const char *device, worker_handler handler, void *context,
		  struct worker **ret, struct err *err)
{
	struct worker *w = calloc(1, sizeof *w);
	int r;

	if (!w)
		return err_set(err, -ENOMEM, "out of memory");
	*w = (struct worker){ .handler = handler, .context = context, .last = &w->first };
	encoder_init(&w->encoder, loop, &encoder_handler, w);
	w->device = device ? copy_text(device) : NULL;
	/* Failing here ends the process: nothing is taken apart again. */
	r = uv_mutex_init(&w->mutex);
	if (r == 0)
		r = uv_cond_init(&w->wake);
	if (r == 0)
		r = start(loop, w);
	if (r < 0)
		return err_set(err, r, "cannot start the GPU thread: %s", uv_strerror(r));
	*ret = w;
	return 0;
}

void worker_give(struct worker *w, struct worker_task *t)
{
	uv_mutex_lock(&w->mutex);
	w->task = *t;
	if (t->msg.type == MSG_GENERATE) {
		w->job = t->msg.generate.job;
		atomic_store(&w->cancelled, w->stopping);
	}
	uv_cond_signal(&w->wake);
	uv_mutex_unlock(&w->mutex);
	*t = (struct worker_task){ 0 };
}

void worker_cancel(struct worker *w, uint64_t job)
{
	uv_mutex_lock(&w->mutex);
	if (w->job && w->job == job)
		atomic_store(&w->cancelled, true);
	uv_mutex_unlock(&w->mutex);
	encoder_cancel(&w->encoder, job);
}

void worker_stop(struct worker *w)
{
	uv_mutex_lock(&w->mutex);
	w->stopping = true;
	atomic_store(&w->cancelled, true);
	uv_cond_signal(&w->wake);
	uv_mutex_unlock(&w->mutex);
	encoder_stop(&w->encoder);
}

void worker_free(struct worker *w)
{
	uv_thread_join(&w->thread);
	uv_close((uv_handle_t *)&w->async, on_closed);
}

void worker_task_clear(struct worker_task *t)
{
	msg_clear(&t->msg);
	inputs_finish(&t->inputs);
}

void worker_event_clear(struct worker_event *event)
{
	msg_clear(&event->msg);
	free(event->file);
	event->file = NULL;
}
