/*
 * POST /api/generate: draws a picture, loads or unloads a model. Progress and result
 * as newline JSON, or one object when the client wants no stream.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/timefmt.h"
#include "gateway/bodies.h"
#include "gateway/pool.h"
#include "gateway/reply.h"
#include "gateway/routes.h"
#include "gateway/stream.h"

struct generation {
	struct job job;                 /* first member */
	bool stream;
};

static struct generation *generation_of(struct job *job)
{
	return (struct generation *)(void *)job;
}

/* Members that every line begins with. */
static json_t *begin_line(const char *model, bool done)
{
	char now[TIME_TEXT_SIZE];
	json_t *line = json_object();

	time_format(time_now_ns(), true, now);
	json_object_set_new(line, "model", json_string(model));
	json_object_set_new(line, "created_at", json_string(now));
	json_object_set_new(line, "response", json_string(""));
	json_object_set_new(line, "done", json_boolean(done));
	return line;
}

static json_t *done_line(const char *model, const char *reason)
{
	json_t *line = begin_line(model, true);

	json_object_set_new(line, "done_reason", json_string(reason));
	return line;
}

static void on_progress(struct job *job, uint32_t step, uint32_t total)
{
	json_t *line;

	if (!generation_of(job)->stream)
		return;
	line = begin_line(job->model, false);
	if (step)
		json_object_set_new(line, "completed", json_integer(step));
	json_object_set_new(line, "total", json_integer(total));
	stream_progress_line(job->q, line);
}

static void append_result(struct evbuffer *out, struct job *job, const void *png, size_t len)
{
	json_t *line = done_line(job->model, "stop");
	int64_t now_ns = time_monotonic_ns();

	json_object_set_new(line, "total_duration", json_integer(now_ns - job->began_ns));
	if (job->ready_ns > job->began_ns)
		json_object_set_new(line, "load_duration",
				    json_integer(job->ready_ns - job->began_ns));
	json_object_set_new(line, "seed", json_integer((json_int_t)job_seed(job)));
	if (job->caches_steps)
		json_object_set_new(line, "steps_reused", json_integer(job->steps_reused));
	reply_append_picture(out, line, "image", png, len);
}

static void on_image(struct job *job, const void *png, size_t len)
{
	struct evbuffer *out = evbuffer_new();

	append_result(out, job, png, len);
	if (generation_of(job)->stream) {
		stream_raw_line(job->q, out);
		http_stream_end(job->q);
	} else {
		http_reply(job->q, 200, TYPE_JSON_UTF8, out);
	}
	evbuffer_free(out);
}

static void on_ready(struct job *job)
{
	reply_json(job->q, 200, done_line(job->model, "load"));
}

static void on_failed(struct job *job, const struct err *err)
{
	if (!http_streaming(job->q)) {
		reply_error(job->q, err);
		return;
	}
	stream_line(job->q, reply_error_object(job->q, err));
	http_stream_end(job->q);
}

static void destroy(struct job *job)
{
	job_clear(job);
	free(generation_of(job));
}

static const struct job_handler generate_handler = {
	on_progress, on_image, on_ready, on_failed, destroy,
};

static void unload(struct gateway *gw, struct job *job)
{
	char name[NAME_TEXT_SIZE];

	name_short(&job->name, name);
	pool_unload(gw->pool, job->manifest->digest, name, NULL);
	reply_json(job->q, 200, done_line(job->model, "unload"));
}

/* True when the job was handed on; else the caller still owns it and answers. */
static int submit(struct gateway *gw, struct generation *g, struct generate_body *b,
		  struct err *err)
{
	struct job *job = &g->job;
	const int64_t *keep_alive = b->has_keep_alive ? &b->keep_alive_ns : NULL;
	int r = job_check(job, err);

	if (r < 0) {
		destroy(job);
		return r;
	}
	job->request.load_only = !job->params.prompt || !*job->params.prompt;
	return pool_submit(gw->pool, job, keep_alive, err);
}

static bool wants_unload(const struct generate_body *b)
{
	return (!b->picture.prompt || !*b->picture.prompt) && b->has_keep_alive &&
	       !b->keep_alive_ns;
}

static int start(struct gateway *gw, struct http_request *q, struct generate_body *b,
		 struct err *err)
{
	struct generation *g = calloc(1, sizeof(*g));
	bool unloads = wants_unload(b);
	int r;

	if (!g)
		return err_set(err, -ENOMEM, "out of memory");
	g->stream = b->stream;
	g->job.handler = &generate_handler;
	g->job.q = q;
	g->job.began_ns = q->began_ns;
	r = job_find_model(&g->job, gw->catalog, b->model, err);
	if (r == 0 && !unloads) {
		g->job.params = b->picture;
		b->picture = (struct picture_params){ 0 };
		return submit(gw, g, b, err);
	}
	if (r == 0)
		unload(gw, &g->job);
	destroy(&g->job);
	return r;
}

void route_generate(struct gateway *gw, struct http_request *q)
{
	struct upload *body = http_take_body(q);
	struct generate_body b;
	struct err err;
	int r = body ? generate_body_read(body, &b, &err) :
		err_set(&err, -ENOMEM, "out of memory");

	/* From here on the pictures in it hold it, if there are any. */
	upload_unref(body);
	if (r < 0) {
		reply_invalid(q, &err);
		return;
	}
	if (start(gw, q, &b, &err) < 0)
		reply_error(q, &err);
	generate_body_clear(&b);
}
