/*
 * The import mode's side of the socket: says hello, takes one import, sends its status
 * lines and its end. One thread that blocks; a closed socket or SIGTERM cancels. Owns
 * the process's only signal flag.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/frame.h"
#include "common/log.h"
#include "common/proto.h"
#include "runner/import/import.h"

static volatile sig_atomic_t terminated;

struct session {
	int fd;
	struct frame_reader reader;
	bool broken;                    /* nothing reaches the gateway any more */
};

static void on_sigterm(int number)
{
	(void)number;
	terminated = 1;
}

static int catch_sigterm(struct err *err)
{
	/* No SA_RESTART: a read or write that waits must return. */
	struct sigaction action = { .sa_handler = on_sigterm };

	if (sigaction(SIGTERM, &action, NULL) < 0 || sigaction(SIGINT, &action, NULL) < 0)
		return err_errno(err, errno, "cannot catch SIGTERM");
	return 0;
}

static int send_message(struct session *s, const struct msg *m, struct err *err)
{
	size_t len, sent = 0;
	char *frame = msg_encode(m, &len);

	if (!frame)
		return err_set(err, -ENOMEM, "out of memory");
	while (sent < len) {
		ssize_t n = send(s->fd, frame + sent, len - sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR && !terminated)
			continue;
		if (n < 0) {
			s->broken = true;
			free(frame);
			return err_errno(err, errno, "the gateway is gone");
		}
		sent += (size_t)n;
	}
	free(frame);
	return 0;
}

/* 1 with a message, 0 when the gateway closed the socket. */
static int receive(struct session *s, unsigned state, struct msg *ret, struct err *err)
{
	char data[65536];
	struct frame frame;

	for (;;) {
		ssize_t n;
		int r = frame_reader_next(&s->reader, &frame, err);

		if (r < 0)
			return r;
		if (r > 0 && frame.kind != FRAME_JSON)
			return err_set(err, -EBADMSG, "binary frame from the gateway");
		if (r > 0) {
			r = msg_decode(frame.data, frame.len, PROTO_GATEWAY, state, ret, err);
			return r < 0 ? r : 1;
		}
		n = read(s->fd, data, sizeof data);
		if (n < 0 && errno == EINTR && !terminated)
			continue;
		if (n < 0)
			return err_errno(err, errno, "cannot read from the gateway");
		if (n == 0)
			return 0;
		r = frame_reader_feed(&s->reader, data, (size_t)n, err);
		if (r < 0)
			return r;
	}
}

/* The gateway says nothing during an import: what becomes readable is the end. */
static bool is_cancelled(void *context)
{
	struct session *s = context;
	struct pollfd p = { .fd = s->fd, .events = POLLIN };

	return terminated || s->broken || poll(&p, 1, 0) > 0;
}

static void send_status(void *context, const struct msg_status *status)
{
	struct session *s = context;
	struct msg m = { .type = MSG_STATUS, .status = *status };
	struct err err;

	/* A failed send is noticed as a cancel before the next piece. */
	if (!s->broken && send_message(s, &m, &err) < 0)
		log_debug("%s", err.text);
}

static int send_end(struct session *s, int result, struct import_result *imported,
		    struct err *err)
{
	struct msg done = { .type = MSG_IMPORTED, .imported = {
		.digest = imported->digest, .layers = imported->layers } };
	struct msg failed = { .type = MSG_FAILED, .failed = {
		.code = (char *)msg_failed_name(result), .text = err->text } };
	struct err ignored;

	if (s->broken)
		return 0;
	return send_message(s, result < 0 ? &failed : &done, &ignored);
}

static int serve(struct session *s, struct err *err)
{
	const struct import_hooks hooks = {
		.context = s, .cancelled = is_cancelled, .status = send_status,
	};
	struct import_result imported = { 0 };
	struct msg m = { .type = MSG_HELLO, .hello.version = PROTO_VERSION };
	int r = send_message(s, &m, err);

	if (r < 0)
		return r;
	r = receive(s, PROTO_STARTED, &m, err);
	if (r <= 0)
		return r;
	if (m.type == MSG_IMPORT) {
		r = import_run(&m.import, &hooks, &imported, err);
		send_end(s, r, &imported, err);
		r = 0;
	} else {
		r = err_set(err, -EBADMSG, "unexpected message '%s' in import mode", msg_name(m.type));
	}
	msg_clear(&m);
	return r;
}

int import_serve(int fd)
{
	struct session s = { .fd = fd };
	struct err err;
	int r;

	frame_reader_init(&s.reader);
	r = catch_sigterm(&err);
	if (r == 0)
		r = serve(&s, &err);
	if (r < 0)
		log_error("%s", err.text);
	frame_reader_finish(&s.reader);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
