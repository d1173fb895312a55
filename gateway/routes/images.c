/*
 * POST /v1/images/generations and /v1/images/edits: OpenAI's way to ask for pictures. One
 * JSON object at the end, or server-sent events: either "progress" and "done", or those
 * that OpenAI's own clients know, one "completed" for each picture.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "gateway/bodies.h"
#include "gateway/kept_files.h"
#include "gateway/pool.h"
#include "gateway/reply.h"
#include "gateway/routes.h"
#include "gateway/stream.h"

enum answer {
	ANSWER_OBJECT,
	ANSWER_STEPS,                   /* events "progress" and "done" */
	ANSWER_OPENAI,                  /* events "image_generation.completed", "....partial_image" */
};

struct order {
	struct job job;                 /* first member */
	struct gateway *gw;
	enum answer answer;
	const char *event_prefix;       /* of OpenAI's events */
	const char *quality;            /* as it was asked: a literal */
	bool wants_url;
	struct evbuffer *data;          /* members of "data" so far */
};

static struct order *order_of(struct job *job)
{
	return (struct order *)(void *)job;
}

/* The steps of all pictures count on. */
static void on_progress(struct job *job, uint32_t step, uint32_t total)
{
	json_int_t done = (json_int_t)job->n_made * total + step;
	json_int_t all = (json_int_t)job->params.count * total;
	char text[64];

	if (!step)
		return;
	if (order_of(job)->answer == ANSWER_STEPS)
		stream_progress_event(job->q, "progress",
				      json_pack("{s:I, s:I}", "step", done, "total", all));
	if (order_of(job)->answer == ANSWER_OPENAI) {
		snprintf(text, sizeof(text), "step %lld/%lld", (long long)done, (long long)all);
		stream_comment(job->q, text);
	}
}

static void finish(struct order *o)
{
	struct evbuffer *out = evbuffer_new();

	evbuffer_add_printf(out, "{\"created\":%lld,\"data\":[", (long long)time(NULL));
	evbuffer_add_buffer(out, o->data);
	evbuffer_add(out, "]}", 2);
	if (o->answer == ANSWER_STEPS) {
		stream_event(o->job.q, "done", out);
		http_stream_end(o->job.q);
	} else {
		evbuffer_add(out, "\n", 1);
		http_reply(o->job.q, 200, TYPE_JSON, out);
	}
	evbuffer_free(out);
}

/* Keeps the picture and says where; left out when there is no room for it. */
static void add_url(json_t *entry, struct order *o, const void *file, size_t len)
{
	const char *format = output_format_name(o->job.params.format);
	const char *host = http_header(o->job.q, "Host");
	char name[KEPT_NAME_SIZE], url[512];

	if (kept_files_add(o->gw->files, file, len, format, name) < 0) {
		log_warn("no room to keep a picture for its URL");
		return;
	}
	snprintf(url, sizeof(url), "http://%.256s/v1/images/files/%s",
		 host && *host ? host : o->gw->address, name);
	json_object_set_new(entry, "url", text_json(url));
}

static void append_picture(struct order *o, const void *file, size_t len)
{
	json_t *entry = json_object();

	if (o->job.n_made)
		evbuffer_add(o->data, ",", 1);
	json_object_set_new(entry, "seed", json_integer((json_int_t)job_seed(&o->job)));
	if (o->job.caches_steps)
		json_object_set_new(entry, "steps_reused", json_integer(o->job.steps_reused));
	if (o->wants_url)
		add_url(entry, o, file, len);
	reply_append_picture(o->data, entry, "b64_json", file, len);
}

/* What both of OpenAI's events have behind the picture. */
static void append_description(struct evbuffer *out, const struct order *o, uint32_t width,
			       uint32_t height)
{
	evbuffer_add_printf(out, ",\"created_at\":%lld,\"size\":\"%ux%u\",\"quality\":\"%s\","
			    "\"background\":\"opaque\",\"output_format\":\"%s\"",
			    (long long)time(NULL), width, height, o->quality,
			    output_format_name(o->job.params.format));
}

/* An event's data up to and with its picture. */
static struct evbuffer *begin_event(const struct order *o, const char *kind, const void *file,
				    size_t len, char name[64])
{
	struct evbuffer *out = evbuffer_new();

	snprintf(name, 64, "%s.%s", o->event_prefix, kind);
	evbuffer_add_printf(out, "{\"type\":\"%s\",\"b64_json\":\"", name);
	reply_append_base64(out, file, len);
	evbuffer_add(out, "\"", 1);
	return out;
}

/* OpenAI's members in their order, then the seed. */
static void send_completed(struct order *o, const void *file, size_t len)
{
	const struct job *job = &o->job;
	char name[64];
	struct evbuffer *out = begin_event(o, "completed", file, len, name);

	append_description(out, o, job->width, job->height);
	evbuffer_add_printf(out, ",\"usage\":{\"input_tokens\":%u,\"output_tokens\":0,"
			    "\"total_tokens\":%u,\"input_tokens_details\":{\"image_tokens\":0,"
			    "\"text_tokens\":%u}},\"seed\":%llu}", job->tokens, job->tokens,
			    job->tokens, (unsigned long long)job_seed(job));
	stream_event(job->q, name, out);
	evbuffer_free(out);
}

static void on_partial(struct job *job, const struct msg_partial *p, const void *file, size_t len)
{
	const struct order *o = order_of(job);
	struct evbuffer *out;
	char name[64];

	if (stream_is_slow(job->q))
		return;
	out = begin_event(o, "partial_image", file, len, name);
	evbuffer_add_printf(out, ",\"partial_image_index\":%u", p->index);
	append_description(out, o, p->width, p->height);
	evbuffer_add(out, "}", 1);
	stream_event(job->q, name, out);
	evbuffer_free(out);
}

static void on_image(struct job *job, const void *file, size_t len)
{
	struct order *o = order_of(job);
	bool last = job->n_made + 1 == job->params.count;

	if (o->answer != ANSWER_OPENAI) {
		append_picture(o, file, len);
		if (last)
			finish(o);
		return;
	}
	send_completed(o, file, len);
	if (last)
		http_stream_end(job->q);
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
	on_progress, on_image, on_ready, on_failed, destroy, on_partial,
};

static enum answer choose_answer(const struct http_request *q, const struct images_body *b)
{
	const char *accept = http_header(q, "Accept");
	bool asks = accept && strstr(accept, "text/event-stream");

	if (!(b->has_stream ? b->stream : asks))
		return ANSWER_OBJECT;
	return b->says_partial || http_header(q, "X-Stainless-Lang") ? ANSWER_OPENAI :
	       ANSWER_STEPS;
}

static struct order *order_create(struct gateway *gw, struct http_request *q,
				  const struct images_kind *kind, struct images_body *b)
{
	struct order *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->gw = gw;
	o->data = evbuffer_new();
	o->answer = choose_answer(q, b);
	o->event_prefix = kind->edits ? "image_edit" : "image_generation";
	o->quality = b->quality;
	o->wants_url = b->wants_url;
	o->job.handler = &images_handler;
	o->job.q = q;
	o->job.began_ns = q->began_ns;
	o->job.params = b->picture;
	if (o->answer != ANSWER_OPENAI)
		o->job.params.partial_images = 0;
	b->picture = (struct picture_params){ 0 };
	return o;
}

static int start(struct gateway *gw, struct http_request *q, const struct images_kind *kind,
		 struct images_body *b, struct err *err)
{
	struct order *o = order_create(gw, q, kind, b);
	int r;

	if (!o)
		return err_set(err, -ENOMEM, "out of memory");
	r = job_find_model(&o->job, gw->catalog, b->model, err);
	if (r == 0)
		r = job_check(&o->job, err);
	if (r == 0)
		return pool_submit(gw->pool, &o->job, NULL, err);
	destroy(&o->job);
	return r;
}

static void serve(struct gateway *gw, struct http_request *q, const struct images_kind *kind)
{
	struct upload *body = http_take_body(q);
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
	if (b.ignored.text[0])
		http_add_header(q, "X-Easel-Ignored", b.ignored.text);
	if (start(gw, q, kind, &b, &err) < 0)
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
