/*
 * POST /v1/images/generations and /v1/images/edits: OpenAI's way to ask for pictures. One
 * JSON object at the end, or server-sent events "progress" and "done".
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/bodies.h"
#include "gateway/pool.h"
#include "gateway/reply.h"
#include "gateway/routes.h"
#include "gateway/stream.h"

struct order {
	struct job job;                 /* first member */
	bool stream;
	struct evbuffer *data;          /* members of "data" so far */
};

static struct order *order_of(struct job *job)
{
	return (struct order *)(void *)job;
}

/* The steps of all pictures count on. */
static void on_progress(struct job *job, uint32_t step, uint32_t total)
{
	if (!order_of(job)->stream || !step)
		return;
	stream_progress_event(job->q, "progress", json_pack("{s:I, s:I}",
		"step", (json_int_t)job->n_made * total + step,
		"total", (json_int_t)job->params.count * total));
}

static void append_answer(struct evbuffer *out, struct order *o)
{
	evbuffer_add_printf(out, "{\"created\":%lld,\"data\":[", (long long)time(NULL));
	evbuffer_add_buffer(out, o->data);
	evbuffer_add(out, "]}", 2);
}

static void finish(struct order *o)
{
	struct evbuffer *out = evbuffer_new();

	append_answer(out, o);
	if (o->stream) {
		stream_event(o->job.q, "done", out);
		http_stream_end(o->job.q);
	} else {
		evbuffer_add(out, "\n", 1);
		http_reply(o->job.q, 200, TYPE_JSON, out);
	}
	evbuffer_free(out);
}

static void append_picture(struct evbuffer *out, struct job *job, const void *png, size_t len)
{
	json_t *entry = json_object();

	json_object_set_new(entry, "seed", json_integer((json_int_t)job_seed(job)));
	if (job->caches_steps)
		json_object_set_new(entry, "steps_reused", json_integer(job->steps_reused));
	reply_append_picture(out, entry, "b64_json", png, len);
}

static void on_image(struct job *job, const void *png, size_t len)
{
	struct order *o = order_of(job);

	if (job->n_made)
		evbuffer_add(o->data, ",", 1);
	append_picture(o->data, job, png, len);
	if (job->n_made + 1 == job->params.count)
		finish(o);
}

/* Empty prompts are refused, so nobody only loads here. */
static void on_ready(struct job *job)
{
	reply_json(job->q, 200, json_object());
}

static void on_failed(struct job *job, const struct err *err)
{
	struct evbuffer *out;

	if (!http_streaming(job->q)) {
		reply_error(job->q, err);
		return;
	}
	out = evbuffer_new();
	reply_append_json(out, reply_error_object(job->q, err));
	stream_event(job->q, "error", out);
	http_stream_end(job->q);
	evbuffer_free(out);
}

static void destroy(struct job *job)
{
	job_clear(job);
	evbuffer_free(order_of(job)->data);
	free(order_of(job));
}

static const struct job_handler images_handler = {
	on_progress, on_image, on_ready, on_failed, destroy,
};

static bool accepts_events(const struct http_request *q)
{
	const char *accept = http_header(q, "Accept");

	return accept && strstr(accept, "text/event-stream");
}

static struct order *order_create(struct http_request *q, struct images_body *b)
{
	struct order *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->data = evbuffer_new();
	o->stream = b->has_stream ? b->stream : accepts_events(q);
	o->job.handler = &images_handler;
	o->job.q = q;
	o->job.began_ns = q->began_ns;
	o->job.params = b->picture;
	b->picture = (struct picture_params){ 0 };
	return o;
}

static int start(struct gateway *gw, struct http_request *q, struct images_body *b, struct err *err)
{
	struct order *o = order_create(q, b);
	int r;

	if (!o)
		return err_set(err, -ENOMEM, "out of memory");
	r = job_find_model(&o->job, gw->store, b->model, err);
	if (r == 0)
		r = job_check(&o->job, err);
	if (r == 0)
		return pool_submit(gw->pool, &o->job, NULL, err);
	destroy(&o->job);
	return r;
}

static void serve(struct gateway *gw, struct http_request *q, const struct images_kind *kind)
{
	struct upload *body = http_take_body(q, &gw->uploads);
	struct images_body b;
	struct err err;
	int r = body ? images_body_read(kind, http_header(q, "Content-Type"), body, &b, &err) :
		err_set(&err, -ENOMEM, "out of memory");

	/* From here on the pictures in it hold it, if there are any. */
	upload_unref(body);
	if (r < 0) {
		reply_invalid(q, &err);
		return;
	}
	if (b.ignored[0])
		http_add_header(q, "X-Easel-Ignored", b.ignored);
	if (start(gw, q, &b, &err) < 0)
		reply_error(q, &err);
	images_body_clear(&b);
}

void route_images(struct gateway *gw, struct http_request *q)
{
	serve(gw, q, &images_generations);
}

void route_edits(struct gateway *gw, struct http_request *q)
{
	serve(gw, q, &images_edits);
}
