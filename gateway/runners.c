/*
 * Runner processes: one socketpair each, frames and messages over it, the state both
 * sides track, limits on silence. Owns every runner until its process was waited for;
 * runs on the event loop.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>

#include "common/frame.h"
#include "common/log.h"
#include "gateway/last_words.h"
#include "gateway/process.h"
#include "gateway/runners.h"

#define READ_TURN (4u << 20)            /* bytes read before others get the loop */

/* How a runner is asked to end: closed socket, SIGTERM, SIGKILL. An import tidies up first. */
static const struct {
	unsigned term_ms, kill_ms;
} patience[] = {
	[RUNNER_MODEL] = { 0, 2000 },
	[RUNNER_IMPORT] = { 3000, 2000 },
};

struct runner {
	LIST_ENTRY(runner) link;
	struct runners *all;
	const struct runner_handler *handler;
	void *owner;
	enum runner_mode mode;
	char *label;
	struct process *process;
	int fd;                         /* our end of the socketpair; -1 once closed */
	struct event *readable, *writable, *silence;
	struct evbuffer *out;
	struct frame_reader in;
	unsigned state;                 /* enum proto_state */
	uint64_t image_bytes;           /* the binary frame that must come next; 0: none */
	struct msg_partial partial;     /* job 0: that frame is a finished picture */
	bool stopping;
	struct timeval limit;           /* of silence; zero: none */
	struct last_words words;
	struct err why;                 /* the reason we ended it, when it was ours */
};

struct runners {
	struct event_base *base;
	struct processes *processes;
	char *path;
	LIST_HEAD(, runner) list;
	void (*done)(void *ctx);
	void *ctx;
};

/* ---- the end ---- */

static void runner_close(struct runner *r)
{
	struct event *const events[] = { r->readable, r->writable, r->silence };

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i])
			event_del(events[i]);
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

static void runner_free(struct runner *r)
{
	struct event *const events[] = { r->readable, r->writable, r->silence };

	runner_close(r);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i])
			event_free(events[i]);
	if (r->out)
		evbuffer_free(r->out);
	frame_reader_finish(&r->in);
	free(r->label);
	free(r);
}

void runner_kill(struct runner *r, const char *why)
{
	if (!r->why.code) {
		err_set(&r->why, -EIO, "%s", why);
		log_warn("%s[%d]: %s; killing it", r->label, runner_pid(r), why);
	}
	runner_close(r);
	process_kill(r->process);
}

void runner_stop(struct runner *r)
{
	r->stopping = true;
	runner_close(r);
	process_stop(r->process, patience[r->mode].term_ms, patience[r->mode].kill_ms);
}

int runner_pid(const struct runner *r)
{
	return (int)process_pid(r->process);
}

/* ---- messages in ---- */

static void restart_silence(struct runner *r)
{
	const unsigned waited = PROTO_STARTING | PROTO_STARTED | PROTO_STATE_LOADING |
				PROTO_IMPORTING;

	if (r->state & waited && (r->limit.tv_sec || r->limit.tv_usec))
		evtimer_add(r->silence, &r->limit);
	else
		evtimer_del(r->silence);
}

static void on_silence(evutil_socket_t fd, short what, void *arg)
{
	struct runner *r = arg;
	char why[1200];

	(void)fd;
	(void)what;
	if (last_words_any(&r->words))
		snprintf(why, sizeof(why), "timeout waiting for the runner: %s",
			 last_words_text(&r->words));
	else
		snprintf(why, sizeof(why), "timeout waiting for the runner to %s",
			 r->state & PROTO_STARTING ? "start" : "report progress");
	runner_kill(r, why);
}

static unsigned state_after(const struct runner *r, enum msg_type type)
{
	switch (type) {
	case MSG_HELLO:
		return PROTO_STARTED;
	case MSG_LOAD:
		return PROTO_STATE_LOADING;
	case MSG_IMPORT:
		return PROTO_IMPORTING;
	case MSG_GENERATE:
		return PROTO_BUSY;
	case MSG_READY:
		return PROTO_IDLE;
	case MSG_FAILED:
		/* A failed load or import leaves nothing to talk about. */
		return r->state & (PROTO_BUSY | PROTO_IDLE) ? PROTO_IDLE : PROTO_STARTED;
	case MSG_IMPORTED:
		return PROTO_STARTED;
	default:
		return r->state;
	}
}

static void on_json(struct runner *r, const struct frame *f)
{
	struct msg m;
	struct err err;

	if (msg_decode(f->data, f->len, PROTO_RUNNER, r->state, &m, &err) < 0) {
		char why[700];

		snprintf(why, sizeof(why), "the runner broke the protocol: %s", err.text);
		runner_kill(r, why);
		return;
	}
	r->state = state_after(r, m.type);
	if (m.type == MSG_IMAGE)
		r->image_bytes = m.image.bytes;
	if (m.type == MSG_PARTIAL) {
		r->partial = m.partial;
		r->image_bytes = m.partial.bytes;
		return;
	}
	restart_silence(r);
	r->handler->message(r->owner, &m);
	msg_clear(&m);
}

static void on_binary(struct runner *r, const struct frame *f)
{
	const struct msg_partial partial = r->partial;

	r->image_bytes = 0;
	r->partial = (struct msg_partial){ 0 };
	if (partial.job) {
		if (r->handler->partial)
			r->handler->partial(r->owner, &partial, f->data, f->len);
		return;
	}
	r->state = PROTO_IDLE;
	r->handler->image(r->owner, f->data, f->len);
}

static void on_frame(struct runner *r, const struct frame *f)
{
	bool expected = f->kind == FRAME_BINARY ? r->image_bytes && f->len == r->image_bytes :
			!r->image_bytes;

	if (!expected)
		runner_kill(r, "the runner broke the protocol: a picture differs from its "
			    "announcement");
	else if (f->kind == FRAME_BINARY)
		on_binary(r, f);
	else
		on_json(r, f);
}

/* Hands out whole frames; handlers may stop or kill the runner in between. */
static void take_frames(struct runner *r)
{
	struct frame f;
	struct err err;
	int n;

	while (r->fd >= 0) {
		n = frame_reader_next(&r->in, &f, &err);
		if (n == 0)
			return;
		if (n < 0)
			runner_kill(r, err.text);
		else
			on_frame(r, &f);
	}
}

/* False when there is nothing more to read, now or ever. */
static bool read_once(struct runner *r)
{
	char data[65536];
	ssize_t n = recv(r->fd, data, sizeof(data), 0);
	struct err err;

	if (n < 0 && errno == EINTR)
		return true;
	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		/* Its end: the process is dying or will be made to. */
		runner_close(r);
		process_stop(r->process, 1000, patience[r->mode].kill_ms);
		return false;
	}
	if (n < 0)
		return false;
	if (frame_reader_feed(&r->in, data, (size_t)n, &err) < 0)
		runner_kill(r, err.text);
	else
		take_frames(r);
	return r->fd >= 0;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct runner *r = arg;

	(void)fd;
	(void)what;
	for (size_t turn = 0; turn < READ_TURN / 65536; turn++)
		if (!read_once(r))
			return;
}

/* ---- messages out ---- */

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct runner *r = arg;

	(void)what;
	if (evbuffer_write(r->out, fd) < 0 && errno != EAGAIN && errno != EINTR) {
		/* EPIPE: the reading side will see the end and tell. */
		evbuffer_drain(r->out, evbuffer_get_length(r->out));
	}
	if (evbuffer_get_length(r->out) == 0)
		event_del(r->writable);
}

static void free_bytes(const void *data, size_t len, void *arg)
{
	(void)len;
	(void)arg;
	free((void *)(uintptr_t)data);
}

static void unref_upload(const void *data, size_t len, void *arg)
{
	(void)data;
	(void)len;
	upload_unref(arg);
}

static int append_file(struct runner *r, struct upload *owner, struct piece file)
{
	unsigned char head[FRAME_HEADER];

	frame_header(FRAME_BINARY, (uint32_t)file.len, head);
	if (evbuffer_add(r->out, head, sizeof(head)) < 0)
		return -ENOMEM;
	upload_ref(owner);
	if (evbuffer_add_reference(r->out, file.data, file.len, unref_upload, owner) == 0)
		return 0;
	upload_unref(owner);
	return -ENOMEM;
}

int runner_send_files(struct runner *r, const struct msg *m, struct upload *owner,
		      const struct piece *files, size_t n)
{
	int result = runner_send(r, m);

	for (size_t i = 0; result == 0 && i < n; i++)
		result = append_file(r, owner, files[i]);
	return result;
}

int runner_send(struct runner *r, const struct msg *m)
{
	size_t len;
	char *bytes;

	if (r->fd < 0)
		return -EPIPE;
	bytes = msg_encode(m, &len);
	if (!bytes)
		return -ENOMEM;
	if (evbuffer_add_reference(r->out, bytes, len, free_bytes, NULL) < 0) {
		free(bytes);
		return -ENOMEM;
	}
	r->state = state_after(r, m->type);
	restart_silence(r);
	return event_add(r->writable, NULL) < 0 ? -ENOMEM : 0;
}

/* ---- the process ---- */

static void on_line(void *owner, int stream, const char *line)
{
	struct runner *r = owner;

	(void)stream;
	last_words_add(&r->words, line);
	log_child_line(r->label, runner_pid(r), line);
}

static void exit_reason(const struct runner *r, int wait_status, struct err *ret)
{
	char status[64];

	if (r->why.code) {
		*ret = r->why;
		return;
	}
	process_status_text(wait_status, status, sizeof(status));
	if (last_words_any(&r->words))
		err_set(ret, -EIO, "runner exited: %s: %s", status, last_words_text(&r->words));
	else
		err_set(ret, -EIO, "runner exited: %s", status);
}

static void on_exited(void *owner, int wait_status)
{
	struct runner *r = owner;
	struct runners *all = r->all;
	struct err err;

	/* What it said before it died still counts: a failure has its reason there. */
	while (r->fd >= 0 && read_once(r))
		;
	runner_close(r);
	exit_reason(r, wait_status, &err);
	if (!r->stopping)
		log_warn("%s: %s", r->label, err.text);
	LIST_REMOVE(r, link);
	r->handler->exited(r->owner, &err);
	runner_free(r);
	if (all->done && LIST_EMPTY(&all->list))
		all->done(all->ctx);
}

static const struct process_handler process_handler = { on_line, on_exited, NULL };

static int watch(struct runner *r)
{
	struct event_base *base = r->all->base;

	r->readable = event_new(base, r->fd, EV_READ | EV_PERSIST, on_readable, r);
	r->writable = event_new(base, r->fd, EV_WRITE | EV_PERSIST, on_writable, r);
	r->silence = evtimer_new(base, on_silence, r);
	r->out = evbuffer_new();
	if (!r->readable || !r->writable || !r->silence || !r->out)
		return -ENOMEM;
	return event_add(r->readable, NULL) < 0 ? -ENOMEM : 0;
}

static struct runner *runner_create(struct runners *all, enum runner_mode mode, const char *label,
				    int64_t silence_ns)
{
	struct runner *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->all = all;
	r->mode = mode;
	r->fd = -1;
	r->state = PROTO_STARTING;
	r->label = strdup(label);
	frame_reader_init(&r->in);
	if (silence_ns > 0 && silence_ns != INT64_MAX) {
		r->limit.tv_sec = silence_ns / 1000000000;
		r->limit.tv_usec = (suseconds_t)(silence_ns % 1000000000 / 1000);
	}
	if (!r->label) {
		runner_free(r);
		return NULL;
	}
	return r;
}

static int check_binary(const char *path, struct err *err)
{
	if (access(path, X_OK) == 0)
		return 0;
	return err_errno(err, errno, "the runner %s cannot be executed (reinstall easel, or set "
			 "EASEL_RUNNER)", path);
}

static int start(struct runner *r, struct err *err)
{
	const char *const argv[] = { r->all->path, r->mode == RUNNER_IMPORT ? "--import" : NULL,
				    NULL };
	int pair[2], result;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, errno, "cannot make a socket for a runner");
	r->fd = pair[0];
	result = evutil_make_socket_nonblocking(r->fd) < 0 ? -EIO : watch(r);
	if (result < 0)
		err_set(err, result, "cannot watch the socket of a runner");
	else
		result = process_spawn(r->all->processes, argv, pair[1], &process_handler, r,
				       &r->process, err);
	close(pair[1]);
	return result;
}

int runner_spawn(struct runners *all, enum runner_mode mode, const char *label, int64_t silence_ns,
		 const struct runner_handler *handler, void *owner, struct runner **ret,
		 struct err *err)
{
	struct runner *r;
	int result = check_binary(all->path, err);

	if (result < 0)
		return result;
	r = runner_create(all, mode, label, silence_ns);
	if (!r)
		return err_set(err, -ENOMEM, "out of memory");
	r->handler = handler;
	r->owner = owner;
	result = start(r, err);
	if (result < 0) {
		runner_free(r);
		return result;
	}
	LIST_INSERT_HEAD(&all->list, r, link);
	restart_silence(r);
	log_debug("%s[%d]: started", label, runner_pid(r));
	*ret = r;
	return 0;
}

/* ---- all of them ---- */

int runners_create(struct event_base *base, const char *path, struct runners **ret, struct err *err)
{
	struct runners *all = calloc(1, sizeof(*all));
	int r;

	if (!all)
		return err_set(err, -ENOMEM, "out of memory");
	all->base = base;
	LIST_INIT(&all->list);
	all->path = strdup(path);
	if (all->path)
		r = processes_create(base, &all->processes, err);
	else
		r = err_set(err, -ENOMEM, "out of memory");
	if (r < 0) {
		runners_destroy(all);
		return r;
	}
	*ret = all;
	return 0;
}

void runners_destroy(struct runners *all)
{
	struct runner *r;

	if (!all)
		return;
	processes_destroy(all->processes);
	while ((r = LIST_FIRST(&all->list))) {
		LIST_REMOVE(r, link);
		runner_free(r);
	}
	free(all->path);
	free(all);
}

void runners_stop(struct runners *all, void (*done)(void *ctx), void *ctx)
{
	struct runner *r;

	all->done = done;
	all->ctx = ctx;
	LIST_FOREACH(r, &all->list, link)
		runner_stop(r);
	if (LIST_EMPTY(&all->list))
		done(ctx);
}

struct processes *runners_processes(struct runners *all)
{
	return all->processes;
}

const char *runners_path(const struct runners *all)
{
	return all->path;
}
