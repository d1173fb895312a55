/*
 * Stands in for easel-runner in the gateway's tests: speaks the protocol, draws nothing.
 * The model's name says how it behaves (see the table). A "picture" is the JSON of the
 * request that reached it, so that tests see what the gateway resolved. One thread,
 * blocking I/O on descriptor 3.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/frame.h"
#include "common/proto.h"

struct behaviour {
	const char *model;
	unsigned load_ms;               /* with progress every 10 ms */
	unsigned step_ms;
	unsigned fail_step;             /* FAILED at this step; 1000: while decoding */
	unsigned crash_step;
	size_t picture;                 /* bytes; 0: just the request */
	bool silent_load, fail_load, crash_load, bad_frame, deaf, noisy, no_steps;
};

static const struct behaviour behaviours[] = {
	{ "ok" },
	{ "slow-load", .load_ms = 700 },
	{ "long", .step_ms = 20 },
	{ "big", .picture = 20u << 20 },
	{ "silent", .silent_load = true },
	{ "bad-model", .fail_load = true },
	{ "crash-load", .crash_load = true },
	{ "crash", .crash_step = 2 },
	{ "fail", .fail_step = 2 },
	{ "fail-early", .fail_step = 0, .no_steps = true },
	{ "fail-decode", .fail_step = 1000 },
	{ "bad-frame", .bad_frame = true },
	{ "deaf", .step_ms = 20, .deaf = true },
	{ "noisy", .noisy = true },
};

/* Message structs own their strings elsewhere; here they are literals. */
static char *literal(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* The process's one context. */
static struct {
	struct frame_reader in;
	unsigned state;
	const struct behaviour *how;
} fake = { .how = &behaviours[0] };

static void write_all(const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		ssize_t n = write(PROTO_FD, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			exit(0);
		at += n;
		len -= (size_t)n;
	}
}

static void send_msg(const struct msg *m)
{
	size_t len;
	char *bytes = msg_encode(m, &len);

	if (!bytes)
		exit(1);
	write_all(bytes, len);
	free(bytes);
}

/* Waits for a message for at most timeout_ms (-1: for ever); 0 when none came. */
static int receive(struct msg *ret, int timeout_ms)
{
	struct pollfd p = { .fd = PROTO_FD, .events = POLLIN };
	struct frame f;
	struct err err;
	char data[65536];
	ssize_t n;
	int r;

	for (;;) {
		r = frame_reader_next(&fake.in, &f, &err);
		if (r < 0 || (r > 0 && msg_decode(f.data, f.len, PROTO_GATEWAY, fake.state, ret,
						  &err) < 0)) {
			fprintf(stderr, "fake: %s\n", err.text);
			exit(1);
		}
		if (r > 0)
			return 1;
		r = poll(&p, 1, timeout_ms);
		if (r == 0)
			return 0;
		n = r < 0 ? -1 : read(PROTO_FD, data, sizeof(data));
		if (n == 0)
			exit(0);
		if (n > 0 && frame_reader_feed(&fake.in, data, (size_t)n, &err) < 0)
			exit(1);
	}
}

static void send_hello(void)
{
	struct msg m = { .type = MSG_HELLO };

	m.hello = (struct msg_hello){ PROTO_VERSION, literal("Fake Device"), literal("software"),
				      literal("fake"), 1u << 30, 1u << 30 };
	fake.state = PROTO_STARTING;
	send_msg(&m);
	fake.state = PROTO_STARTED;
}

static void send_failed(uint64_t job, const char *code, const char *text)
{
	struct msg m = { .type = MSG_FAILED };

	m.failed = (struct msg_failed){ job, literal(code), literal(text) };
	send_msg(&m);
}

static const struct behaviour *find_behaviour(const char *model)
{
	size_t len = strcspn(model, ":");

	for (size_t i = 0; i < sizeof(behaviours) / sizeof(behaviours[0]); i++)
		if (strlen(behaviours[i].model) == len && !strncmp(behaviours[i].model, model, len))
			return &behaviours[i];
	return &behaviours[0];
}

static void load(const struct msg_load *l)
{
	struct msg m = { .type = MSG_LOADING };

	fake.how = find_behaviour(l->model);
	fake.state = PROTO_STATE_LOADING;
	if (fake.how->crash_load) {
		fprintf(stderr, "no usable device\n");
		exit(3);
	}
	if (fake.how->silent_load)
		pause();
	if (fake.how->fail_load) {
		send_failed(0, "not_found", "blob sha256:1234 is missing");
		fake.state = PROTO_STARTED;
		return;
	}
	for (unsigned t = 0; t < fake.how->load_ms; t += 10) {
		m.loading = (struct msg_loading){ t, fake.how->load_ms };
		send_msg(&m);
		poll(NULL, 0, 10);
	}
	m = (struct msg){ .type = MSG_READY };
	m.ready = (struct msg_ready){ .weights = 1000, .vram = 0, .workspace = 500, .width = 1024,
				      .height = 1024, .steps = 4, .guidance = 0 };
	send_msg(&m);
	fake.state = PROTO_IDLE;
}

static void send_picture(const struct msg_generate *g)
{
	json_t *request = json_pack("{s:s, s:s*, s:i, s:i, s:i, s:I, s:f}", "prompt", g->prompt,
		"negative", g->negative, "width", (int)g->width, "height", (int)g->height, "steps",
		(int)g->steps, "seed", (json_int_t)g->seed, "guidance", g->guidance);
	char *text = json_dumps(request, JSON_COMPACT);
	size_t len = strlen(text), size = fake.how->picture > len ? fake.how->picture : len;
	struct msg m = { .type = MSG_IMAGE };
	unsigned char head[FRAME_HEADER], *bytes = calloc(1, size);

	memcpy(bytes, text, len);
	m.image = (struct msg_image){ g->job, size, g->width, g->height, g->seed };
	send_msg(&m);
	frame_header(FRAME_BINARY, (uint32_t)size, head);
	write_all(head, sizeof(head));
	write_all(bytes, size);
	free(bytes);
	free(text);
	json_decref(request);
}

/* True when the job was cancelled. */
static bool wait_step(uint64_t job)
{
	struct msg m;

	if (fake.how->deaf) {
		poll(NULL, 0, (int)fake.how->step_ms);
		return false;
	}
	if (!receive(&m, (int)fake.how->step_ms))
		return false;
	if (m.type != MSG_CANCEL || m.cancel.job != job)
		exit(1);
	send_failed(job, "cancelled", "cancelled");
	return true;
}

static void send_progress(const struct msg_generate *g, const char *phase, uint32_t step)
{
	struct msg m = { .type = MSG_PROGRESS };

	m.progress = (struct msg_progress){ g->job, literal(phase), step, g->steps };
	send_msg(&m);
}

static bool breaks_at(const struct msg_generate *g, unsigned step)
{
	if (fake.how->crash_step && step == fake.how->crash_step) {
		fprintf(stderr, "something terrible happened\n");
		kill(getpid(), SIGKILL);
	}
	if (fake.how->fail_step && step == fake.how->fail_step) {
		send_failed(g->job, "internal", "the picture is not finite");
		return true;
	}
	return false;
}

static void generate(const struct msg_generate *g)
{
	fake.state = PROTO_BUSY;
	if (fake.how->bad_frame)
		write_all("\x01\x00\x00\x00?x", 6);
	if (fake.how->noisy)
		for (int i = 0; i < 1 << 14; i++)
			fprintf(stderr, "%064d", i);
	if (fake.how->no_steps) {
		send_failed(g->job, "invalid", "the picture is too large");
		fake.state = PROTO_IDLE;
		return;
	}
	send_progress(g, "encode", 0);
	for (uint32_t step = 0; step <= g->steps; step++) {
		send_progress(g, "denoise", step);
		if (breaks_at(g, step) || (step < g->steps && wait_step(g->job))) {
			fake.state = PROTO_IDLE;
			return;
		}
	}
	send_progress(g, "decode", g->steps);
	if (!breaks_at(g, 1000))
		send_picture(g);
	fake.state = PROTO_IDLE;
}

static void send_status(const char *status, uint64_t completed, uint64_t total)
{
	struct msg m = { .type = MSG_STATUS };

	m.status = (struct msg_status){ literal(status), NULL, total, completed };
	send_msg(&m);
}

static void import(const struct msg_import *i)
{
	static const char digest[] =
		"sha256:0000000000000000000000000000000000000000000000000000000000000000";
	struct msg m;

	fake.state = PROTO_IMPORTING;
	if (!strncmp(i->model, "bad-import", 10)) {
		send_failed(0, "invalid", "no vae here");
		exit(0);
	}
	for (unsigned n = 0; n <= 200; n++)
		send_status("importing transformer/model.safetensors (7 tensors)", n, 200);
	if (!strncmp(i->model, "late-import", 11)) {
		send_failed(0, "disk", "No space left on device");
		exit(0);
	}
	/* Holds until the gateway closes the socket. */
	if (!strncmp(i->model, "held-import", 11))
		receive(&m, -1);
	send_status("writing manifest for x", 0, 0);
	m = (struct msg){ .type = MSG_IMPORTED };
	m.imported = (struct msg_imported){ literal(digest), 7 };
	send_msg(&m);
	exit(0);
}

static int print_devices(void)
{
	printf("[{\"name\":\"Fake Device\",\"type\":\"software\",\"driver\":\"fake\","
	       "\"memory_total\":1073741824,\"memory_available\":1073741824}]\n");
	return 0;
}

int main(int argc, char **argv)
{
	struct msg m;

	if (argc > 1 && !strcmp(argv[1], "--devices"))
		return print_devices();
	signal(SIGPIPE, SIG_IGN);
	frame_reader_init(&fake.in);
	if (getenv("FAKE_VERSION")) {
		static const char text[] = "{\"type\":\"hello\",\"version\":99}";
		unsigned char head[FRAME_HEADER];

		frame_header(FRAME_JSON, sizeof(text) - 1, head);
		write_all(head, sizeof(head));
		write_all(text, sizeof(text) - 1);
		pause();
	}
	send_hello();
	for (;;) {
		receive(&m, -1);
		if (m.type == MSG_LOAD)
			load(&m.load);
		else if (m.type == MSG_GENERATE)
			generate(&m.generate);
		else if (m.type == MSG_IMPORT)
			import(&m.import);
		msg_clear(&m);
	}
}
