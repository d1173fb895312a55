/*
 * What peer.h says. Owns the child, the socket and the folder of a peer.
 */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/limits.h"
#include "common/log.h"
#include "common/manifest.h"
#include "common/timefmt.h"
#include "runner/link.h"
#include "tests/runner/folder.h"
#include "tests/runner/peer.h"

#define SECOND 1000000000ll

void peer_start(struct peer *p, const char *device)
{
	int pair[2];

	*p = (struct peer){ .root = folder_temporary() };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0) {
		close(pair[0]);
		signal(SIGPIPE, SIG_IGN);
		log_open("runner", LOG_ERROR + 1);
		exit(link_run(pair[1], device));
	}
	close(pair[1]);
	p->fd = pair[0];
	frame_reader_init(&p->reader);
}

int peer_end(struct peer *p)
{
	int64_t deadline = time_monotonic_ns() + 3 * SECOND;
	int status;

	if (p->fd >= 0)
		close(p->fd);
	while (waitpid(p->pid, &status, WNOHANG) == 0) {
		if (time_monotonic_ns() > deadline) {
			kill(p->pid, SIGKILL);
			waitpid(p->pid, &status, 0);
			fail_msg("the runner did not end");
		}
		poll(NULL, 0, 5);
	}
	frame_reader_finish(&p->reader);
	folder_remove(p->root);
	free(p->root);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

void peer_put(struct peer *p, struct msg m)
{
	size_t len;
	char *frame = msg_encode(&m, &len);

	assert_non_null(frame);
	assert_int_equal(send(p->fd, frame, len, MSG_NOSIGNAL), len);
	free(frame);
}

bool peer_next(struct peer *p, struct frame *ret)
{
	char data[4096];
	int r;

	while ((r = frame_reader_next(&p->reader, ret, NULL)) == 0) {
		struct pollfd wait = { .fd = p->fd, .events = POLLIN };
		ssize_t n;

		assert_int_equal(poll(&wait, 1, 10000), 1);
		n = read(p->fd, data, sizeof data);
		if (n <= 0)
			return false;
		assert_int_equal(frame_reader_feed(&p->reader, data, (size_t)n, NULL), 0);
	}
	assert_int_equal(r, 1);
	return true;
}

struct msg peer_get(struct peer *p, unsigned state, enum msg_type type)
{
	struct frame f;
	struct err err;
	struct msg m;

	assert_true(peer_next(p, &f));
	assert_int_equal(f.kind, FRAME_JSON);
	if (msg_decode(f.data, f.len, PROTO_RUNNER, state, &m, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(msg_name(m.type), msg_name(type));
	return m;
}

struct msg peer_get_end(struct peer *p)
{
	for (;;) {
		struct frame f;
		struct msg m;

		assert_true(peer_next(p, &f));
		assert_int_equal(msg_decode(f.data, f.len, PROTO_RUNNER, PROTO_BUSY, &m, NULL), 0);
		if (m.type != MSG_PROGRESS && m.type != MSG_DRAWN)
			return m;
		msg_clear(&m);
	}
}

void peer_hello(struct peer *p)
{
	struct msg m = peer_get(p, PROTO_STARTING, MSG_HELLO);

	assert_int_equal(m.hello.version, PROTO_VERSION);
	assert_string_equal(m.hello.device, "fake");
	assert_string_equal(m.hello.device_type, "software");
	msg_clear(&m);
}

void peer_put_load(struct peer *p, bool with_layers)
{
	char digest[DIGEST_SIZE];
	json_t *layers = json_array(), *manifest;

	digest_bytes("", 0, digest);
	if (with_layers)
		json_array_append_new(layers, json_pack("{ss ss si ss}", "mediaType", MEDIA_TENSOR,
							"digest", digest, "size", 1, "name", "vae/x"));
	manifest = json_pack("{si ss s{ss ss si} so}", "schemaVersion", 2, "mediaType", MEDIA_MANIFEST,
			     "config", "mediaType", MEDIA_CONFIG, "digest", digest, "size", 1,
			     "layers", layers);
	peer_put(p, (struct msg){ .type = MSG_LOAD, .load = {
		.model = TEXT("m"), .root = p->root, .manifest = manifest } });
	json_decref(manifest);
}

void peer_load(struct peer *p)
{
	struct frame f;
	struct msg m = { 0 };

	peer_hello(p);
	peer_put_load(p, true);
	do {
		msg_clear(&m);
		assert_true(peer_next(p, &f));
		assert_int_equal(msg_decode(f.data, f.len, PROTO_RUNNER, PROTO_STATE_LOADING, &m, NULL), 0);
	} while (m.type == MSG_LOADING);
	assert_int_equal(m.type, MSG_READY);
	assert_int_equal(m.ready.weights, 100);
	assert_int_equal(m.ready.vram, 0);
	assert_int_equal(m.ready.steps, 9);
	msg_clear(&m);
}

void peer_put_generate_of(struct peer *p, uint64_t job, char *prompt, uint32_t side)
{
	peer_put(p, (struct msg){ .type = MSG_GENERATE, .generate = {
		.job = job, .prompt = prompt, .width = side, .height = side, .steps = 3, .seed = 5,
		.cfg_truncation = 1 } });
}

/* More bytes than any socket's buffer. */
void peer_put_generate(struct peer *p, uint64_t job, char *prompt)
{
	peer_put_generate_of(p, job, prompt, 704);
}

void peer_expect_drawn(struct peer *p, uint64_t job)
{
	struct msg m = peer_get(p, PROTO_BUSY, MSG_DRAWN);

	assert_int_equal(m.drawn.job, job);
	msg_clear(&m);
}

void peer_expect_binary(struct peer *p, uint64_t bytes)
{
	struct frame f;

	assert_true(peer_next(p, &f));
	assert_int_equal(f.kind, FRAME_BINARY);
	assert_int_equal(f.len, bytes);
	assert_memory_equal(f.data, "\x89PNG", 4);
}

void peer_draw(struct peer *p, uint64_t job)
{
	struct msg m;

	peer_put_generate(p, job, TEXT("a cat"));
	for (uint32_t i = 1; i <= 3; i++) {
		m = peer_get(p, PROTO_BUSY, MSG_PROGRESS);
		assert_int_equal(m.progress.job, job);
		assert_int_equal(m.progress.step, i);
		msg_clear(&m);
	}
	peer_expect_drawn(p, job);
	m = peer_get(p, PROTO_IDLE, MSG_IMAGE);
	assert_int_equal(m.image.job, job);
	assert_int_equal(m.image.seed, 5);
	assert_int_equal(m.image.tokens, 11);
	assert_int_equal(m.image.steps_reused, 5);
	assert_true(m.image.bytes > 1000000);
	peer_expect_binary(p, m.image.bytes);
	msg_clear(&m);
}

void peer_expect_failed(struct peer *p, uint64_t job, const char *code)
{
	struct msg m = peer_get_end(p);

	assert_int_equal(m.type, MSG_FAILED);
	assert_int_equal(m.failed.job, job);
	assert_string_equal(m.failed.code, code);
	msg_clear(&m);
}

void peer_expect_refused(struct peer *p)
{
	while (peer_next(p, &(struct frame){ 0 }))
		;
	assert_int_equal(peer_end(p), 1);
}
