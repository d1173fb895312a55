/*
 * The socket to the gateway: frames in, a handler per message, the runner's state, and
 * what the GPU thread reports out again. Runs on the main thread's loop, never waits.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uv.h>

#include "common/frame.h"
#include "common/log.h"
#include "common/proto.h"
#include "runner/link.h"
#include "runner/worker.h"

#define LEAVE_MS 900                    /* after this long the GPU thread is not waited for */

struct link {
	uv_loop_t loop;
	uv_pipe_t pipe;
	uv_timer_t timer;
	struct frame_reader reader;
	enum proto_state state;
	uint64_t drawing;               /* job of PROTO_BUSY */
	struct worker *worker;
	struct worker_task coming;      /* a generate message whose files are not all here */
	bool leaving;
	int status;                     /* of the process */
	char in[65536];
};

/* ---- leaving ---- */

static void on_leave_timeout(uv_timer_t *timer)
{
	struct link *l = timer->data;

	/* A driver call that does not return must not keep the process. */
	log_warn("the GPU thread did not end in time");
	_exit(l->status);
}

static void leave(struct link *l, int status)
{
	if (l->leaving)
		return;
	l->leaving = true;
	l->status = status;
	uv_read_stop((uv_stream_t *)&l->pipe);
	worker_stop(l->worker);
	uv_timer_start(&l->timer, on_leave_timeout, LEAVE_MS, 0);
}

static void misbehaved(struct link *l, const struct err *err)
{
	log_error("the gateway misbehaved: %s", err->text);
	leave(l, EXIT_FAILURE);
}

/* ---- out ---- */

struct outgoing {
	uv_write_t request;
	char *frame, *payload;
	unsigned char head[FRAME_HEADER];
};

static void outgoing_free(struct outgoing *o)
{
	free(o->frame);
	free(o->payload);
	free(o);
}

static void on_written(uv_write_t *request, int status)
{
	struct outgoing *o = (struct outgoing *)request;
	struct link *l = request->handle->data;

	outgoing_free(o);
	if (status < 0 && status != UV_ECANCELED)
		leave(l, EXIT_SUCCESS);
}

/* Sends a message and, behind it, a binary frame of what payload (taken over) holds. */
static void send_message(struct link *l, const struct msg *m, char *payload, size_t payload_len)
{
	struct outgoing *o = calloc(1, sizeof *o);
	uv_buf_t parts[3];
	size_t len;

	if (!o || !(o->frame = msg_encode(m, &len))) {
		free(o);
		free(payload);
		log_error("cannot send '%s': out of memory", msg_name(m->type));
		leave(l, EXIT_FAILURE);
		return;
	}
	o->payload = payload;
	frame_header(FRAME_BINARY, (uint32_t)payload_len, o->head);
	parts[0] = uv_buf_init(o->frame, (unsigned)len);
	parts[1] = uv_buf_init((char *)o->head, FRAME_HEADER);
	parts[2] = uv_buf_init(payload, (unsigned)payload_len);
	if (uv_write(&o->request, (uv_stream_t *)&l->pipe, parts, payload ? 3 : 1, on_written) < 0) {
		outgoing_free(o);
		leave(l, EXIT_SUCCESS);
	}
}

/* The state that sending a message leads to. */
static enum proto_state state_after(const struct link *l, const struct msg *sent)
{
	switch (sent->type) {
	case MSG_HELLO:
		return PROTO_STARTED;
	case MSG_READY:
	case MSG_DRAWN:
		return PROTO_IDLE;
	case MSG_FAILED:
		/* Perhaps of a picture that was being encoded while the next one is drawn. */
		return l->state == PROTO_BUSY && sent->failed.job == l->drawing ? PROTO_IDLE :
		       l->state;
	default:
		return l->state;
	}
}

static void on_message_out(struct link *l, struct worker_event *event)
{
	send_message(l, &event->msg, event->file, event->file_len);
	event->file = NULL;
	l->state = state_after(l, &event->msg);
}

static void on_worker_ended(struct link *l)
{
	worker_free(l->worker);
	if (!l->leaving)
		uv_read_stop((uv_stream_t *)&l->pipe);
	l->leaving = true;
	uv_close((uv_handle_t *)&l->timer, NULL);
	uv_close((uv_handle_t *)&l->pipe, NULL);
}

static void on_event(void *context, struct worker_event *event)
{
	struct link *l = context;

	switch (event->type) {
	case WORKER_MESSAGE:
		if (!l->leaving)
			on_message_out(l, event);
		break;
	case WORKER_UNUSABLE:
		/* As it is: the gateway shows a runner's last line to the user. */
		fprintf(stderr, "%s\n", event->text);
		l->status = EXIT_FAILURE;
		break;
	case WORKER_ENDED:
		on_worker_ended(l);
		break;
	}
	worker_event_clear(event);
}

/* ---- in ---- */

static void on_load(struct link *l, struct msg *m)
{
	struct worker_task task = { .msg = *m };

	*m = (struct msg){ 0 };
	l->state = PROTO_STATE_LOADING;
	worker_give(l->worker, &task);
}

/* The files that a message announced are all here, or there were none. */
static void give_when_complete(struct link *l)
{
	if (l->coming.inputs.n_files == inputs_announced(&l->coming.msg.generate))
		worker_give(l->worker, &l->coming);
}

static void on_generate(struct link *l, struct msg *m)
{
	l->coming.msg = *m;
	*m = (struct msg){ 0 };
	l->state = PROTO_BUSY;
	l->drawing = l->coming.msg.generate.job;
	give_when_complete(l);
}

static void on_cancel(struct link *l, struct msg *m)
{
	worker_cancel(l->worker, m->cancel.job);
}

/* Messages this process takes; sender, state and fields are checked before. */
static void (*const handlers[MSG_COUNT])(struct link *, struct msg *) = {
	[MSG_LOAD] = on_load,
	[MSG_GENERATE] = on_generate,
	[MSG_CANCEL] = on_cancel,
};

static int on_message(struct link *l, const struct frame *f, struct err *err)
{
	struct msg m;
	int r = msg_decode(f->data, f->len, PROTO_GATEWAY, l->state, &m, err);

	if (r < 0)
		return r;
	if (handlers[m.type])
		handlers[m.type](l, &m);
	else
		r = err_set(err, -EBADMSG, "message '%s' is not for this mode", msg_name(m.type));
	msg_clear(&m);
	return r;
}

static int on_file(struct link *l, const struct frame *f, struct err *err)
{
	int r = inputs_add(&l->coming.inputs, f->data, f->len, err);

	if (r == 0)
		give_when_complete(l);
	return r;
}

static int on_frame(struct link *l, const struct frame *f, struct err *err)
{
	bool awaited = l->coming.msg.type != MSG_NONE, binary = f->kind == FRAME_BINARY;

	if (awaited != binary)
		return err_set(err, -EBADMSG, "%s", binary ? "binary frame" :
			       "a message between picture files");
	return binary ? on_file(l, f, err) : on_message(l, f, err);
}

static int on_bytes(struct link *l, const char *data, size_t len, struct err *err)
{
	struct frame frame;
	int r = frame_reader_feed(&l->reader, data, len, err);

	while (r == 0) {
		int got = frame_reader_next(&l->reader, &frame, err);

		if (got <= 0)
			return got;
		r = on_frame(l, &frame, err);
	}
	return r;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct link *l = stream->data;
	struct err err;

	if (n < 0)
		leave(l, EXIT_SUCCESS);
	else if (on_bytes(l, buf->base, (size_t)n, &err) < 0)
		misbehaved(l, &err);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	struct link *l = handle->data;

	(void)suggested;
	*ret = uv_buf_init(l->in, sizeof l->in);
}

/* ---- the whole ---- */

static int open_loop(struct link *l, int fd)
{
	int r = uv_loop_init(&l->loop);

	if (r == 0)
		r = uv_timer_init(&l->loop, &l->timer);
	if (r == 0)
		r = uv_pipe_init(&l->loop, &l->pipe, 0);
	if (r == 0)
		r = uv_pipe_open(&l->pipe, fd);
	l->timer.data = l->pipe.data = l;
	return r;
}

static int start(struct link *l, int fd, const char *device, struct err *err)
{
	int r = open_loop(l, fd);

	if (r < 0)
		return err_set(err, r, "cannot use the socket to the gateway: %s", uv_strerror(r));
	r = worker_create(&l->loop, device, on_event, l, &l->worker, err);
	if (r < 0)
		return r;
	r = uv_read_start((uv_stream_t *)&l->pipe, on_alloc, on_read);
	return r < 0 ? err_set(err, r, "cannot read from the gateway: %s", uv_strerror(r)) : 0;
}

int link_run(int fd, const char *device)
{
	struct link l = { .state = PROTO_STARTING };
	struct err err;

	frame_reader_init(&l.reader);
	if (start(&l, fd, device, &err) < 0) {
		log_error("%s", err.text);
		return EXIT_FAILURE;
	}
	uv_run(&l.loop, UV_RUN_DEFAULT);
	worker_task_clear(&l.coming);
	uv_loop_close(&l.loop);
	frame_reader_finish(&l.reader);
	return l.status;
}
