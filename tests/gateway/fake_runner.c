/*
 * Stands in for easel-runner in the gateway's tests: speaks the protocol, draws nothing.
 * The model's name says how it behaves (see the table). A "picture" is the JSON of the
 * request that reached it, so that tests see what the gateway resolved: the picture files
 * that came along are in it with their sizes and digests. One thread, blocking I/O on
 * descriptor 3.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/digest.h"
#include "common/frame.h"
#include "common/proto.h"

struct behaviour {
	const char *model;
	unsigned load_ms;               /* with progress every 10 ms */
	unsigned step_ms;
	unsigned fail_step;             /* FAILED at this step; 1000: while decoding */
	unsigned crash_step;
	size_t picture;                 /* bytes; 0: just the request */
	unsigned wait_ms;               /* before the files of a request are read */
	unsigned write_ms;              /* from drawn to the picture, if nothing is asked meanwhile */
	bool crash_writing;             /* when it is */
	bool silent_load, fail_load, tell_prompt, crash_load, bad_frame, deaf, noisy, no_steps, bad_image,
	     bad_partial;
};

static const struct behaviour behaviours[] = {
	{ "ok" },
	{ "slow-load", .load_ms = 700 },
	{ "long", .step_ms = 20 },
	{ "big", .picture = 20u << 20 },
	{ "silent", .silent_load = true },
	{ "bad-model", .fail_load = true },
	{ "tells-prompt", .tell_prompt = true },
	{ "crash-load", .crash_load = true },
	{ "crash", .crash_step = 2 },
	{ "fail", .fail_step = 2 },
	{ "fail-early", .fail_step = 0, .no_steps = true },
	{ "fail-decode", .fail_step = 1000 },
	{ "bad-frame", .bad_frame = true },
	{ "deaf", .step_ms = 20, .deaf = true },
	{ "noisy", .noisy = true },
	{ "unreadable", .bad_image = true },
	{ "late-reader", .wait_ms = 300 },
	{ "bad-partial", .bad_partial = true },
	{ "slow-writer", .write_ms = 400 },
	{ "lazy-writer", .write_ms = 3600000 },
	{ "crash-writer", .write_ms = 3600000, .crash_writing = true },
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
	struct picture {                /* drawn, not yet sent */
		struct msg_image head;
		unsigned char *bytes;   /* NULL: none */
	} held;
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

static void give_up(const char *why)
{
	fprintf(stderr, "fake: %s\n", why);
	exit(1);
}

/* Waits for a frame for at most timeout_ms (-1: for ever); 0 when none came. */
static int receive_frame(struct frame *ret, int timeout_ms)
{
	struct pollfd p = { .fd = PROTO_FD, .events = POLLIN };
	struct err err;
	char data[65536];
	ssize_t n;
	int r;

	for (;;) {
		r = frame_reader_next(&fake.in, ret, &err);
		if (r < 0)
			give_up(err.text);
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

/* Waits for a message for at most timeout_ms (-1: for ever); 0 when none came. */
static int receive(struct msg *ret, int timeout_ms)
{
	struct frame f;
	struct err err;

	if (!receive_frame(&f, timeout_ms))
		return 0;
	if (f.kind != FRAME_JSON)
		give_up("a file that no message announced");
	if (msg_decode(f.data, f.len, PROTO_GATEWAY, fake.state, ret, &err) < 0)
		give_up(err.text);
	return 1;
}

/* The files behind a generate message: how long, their digests, their first bytes. */
static json_t *receive_files(unsigned n)
{
	json_t *ret = json_array();
	char digest[DIGEST_SIZE], begin[9];
	struct frame f;

	for (unsigned i = 0; i < n; i++) {
		receive_frame(&f, -1);
		if (f.kind != FRAME_BINARY)
			give_up("a message where a file was announced");
		digest_bytes(f.data, f.len, digest);
		for (size_t k = 0; k < 4 && k < f.len; k++)
			snprintf(begin + 2 * k, 3, "%02x", (unsigned char)f.data[k]);
		json_array_append_new(ret, json_pack("{s:I, s:s, s:s}", "bytes", (json_int_t)f.len,
						     "digest", digest, "begin", begin));
	}
	return ret;
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
	if (fake.how->tell_prompt) {
		send_failed(0, "internal", l->prompt ? l->prompt : "nobody waits for a picture");
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

static uint32_t or_else(uint32_t side, uint32_t other)
{
	return side ? side : other;
}

static void send_binary(const void *bytes, size_t size)
{
	unsigned char head[FRAME_HEADER];

	frame_header(FRAME_BINARY, (uint32_t)size, head);
	write_all(head, sizeof(head));
	write_all(bytes, size);
}

/* Behind each step one, as long as more are wanted. */
static void send_partial(const struct msg_generate *g, uint32_t index)
{
	char text[64];
	struct msg m = { .type = MSG_PARTIAL };

	snprintf(text, sizeof(text), "{\"partial\":%u,\"seed\":%llu}", index, (unsigned long long)g->seed);
	m.partial = (struct msg_partial){ g->job, strlen(text) + fake.how->bad_partial, index, or_else(g->width, 640),
					  or_else(g->height, 480) };
	send_msg(&m);
	send_binary(text, strlen(text));
}

static void send_held(void)
{
	struct msg m = { .type = MSG_IMAGE, .image = fake.held.head };

	if (!fake.held.bytes)
		return;
	send_msg(&m);
	send_binary(fake.held.bytes, m.image.bytes);
	free(fake.held.bytes);
	fake.held.bytes = NULL;
}

/* files: of a request that has any, added to it. */
static void finish_picture(const struct msg_generate *g, json_t *files)
{
	json_t *request = json_pack("{s:s, s:s*, s:i, s:i, s:i, s:I, s:f}", "prompt", g->prompt,
		"negative", g->negative, "width", (int)g->width, "height", (int)g->height, "steps",
		(int)g->steps, "seed", (json_int_t)g->seed, "guidance", g->guidance);
	struct msg m = { .type = MSG_DRAWN, .drawn.job = g->job };
	size_t len, size;
	char *text;

	if (g->images) {
		json_object_set(request, "files", files);
		json_object_set_new(request, "images", json_integer(g->images));
		json_object_set_new(request, "strength", json_real(g->strength));
		json_object_set_new(request, "mask", g->mask ? json_string(g->mask) : json_null());
	}
	if (g->step_cache) {
		json_object_set_new(request, "step_cache", json_string(g->step_cache));
		json_object_set_new(request, "step_cache_threshold", json_real(g->step_cache_threshold));
	}
	if (strcmp(g->format, "png")) {
		json_object_set_new(request, "format", json_string(g->format));
		json_object_set_new(request, "quality", json_integer(g->quality));
	}
	text = json_dumps(request, JSON_COMPACT);
	len = strlen(text);
	size = fake.how->picture > len ? fake.how->picture : len;
	fake.held.bytes = calloc(1, size);
	memcpy(fake.held.bytes, text, len);
	fake.held.head = (struct msg_image){ g->job, size, or_else(g->width, 640), or_else(g->height, 480),
				      g->seed, (uint32_t)strlen(g->prompt),
				      g->step_cache ? g->steps / 2 : 0 };
	send_msg(&m);
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

/* Steps that are drawn: the first ones are left out of a picture that is changed a little. */
static uint32_t steps_of(const struct msg_generate *g)
{
	return g->images && g->strength >= 0 ? (uint32_t)(g->steps * g->strength) : g->steps;
}

static void send_progress(const struct msg_generate *g, const char *phase, uint32_t step)
{
	struct msg m = { .type = MSG_PROGRESS };

	m.progress = (struct msg_progress){ g->job, literal(phase), step, steps_of(g) };
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

static void draw(const struct msg_generate *g, json_t *files)
{
	uint32_t steps = steps_of(g);

	if (fake.how->bad_frame)
		write_all("\x01\x00\x00\x00?x", 6);
	if (fake.how->noisy)
		for (int i = 0; i < 1 << 14; i++)
			fprintf(stderr, "%064d", i);
	if (fake.how->no_steps || (fake.how->bad_image && g->images)) {
		send_failed(g->job, "invalid", fake.how->no_steps ? "the picture is too large" :
			    "invalid image 0: the file is cut off");
		return;
	}
	send_progress(g, "encode", 0);
	send_held();
	for (uint32_t step = 0; step <= steps; step++) {
		send_progress(g, "denoise", step);
		if (step && step <= g->partial_images)
			send_partial(g, step - 1);
		if (breaks_at(g, step) || (step < steps && wait_step(g->job)))
			return;
	}
	send_progress(g, "decode", steps);
	if (!breaks_at(g, 1000))
		finish_picture(g, files);
}

static void generate(const struct msg_generate *g)
{
	json_t *files;

	if (fake.held.bytes && fake.how->crash_writing)
		kill(getpid(), SIGKILL);

	poll(NULL, 0, (int)fake.how->wait_ms);
	fake.state = PROTO_BUSY;
	files = receive_files(g->images + (g->mask ? 1 : 0));
	draw(g, files);
	json_decref(files);
	fake.state = PROTO_IDLE;
	if (!fake.how->write_ms)
		send_held();
}

static void cancel(uint64_t job)
{
	if (!fake.held.bytes || fake.held.head.job != job)
		return;
	free(fake.held.bytes);
	fake.held.bytes = NULL;
	send_failed(job, "cancelled", "cancelled");
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
		const char *digest_of_index = json_string_value(json_object_get(i->files, "model_index.json"));
		char text[200];

		snprintf(text, sizeof(text), "no vae here%s%s", digest_of_index ? ": model_index.json is " : "",
			 digest_of_index ? digest_of_index : "");
		send_failed(0, "invalid", text);
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
		if (!receive(&m, fake.held.bytes ? (int)fake.how->write_ms : -1)) {
			send_held();
			continue;
		}
		if (m.type == MSG_LOAD)
			load(&m.load);
		else if (m.type == MSG_CANCEL)
			cancel(m.cancel.job);
		else if (m.type == MSG_GENERATE)
			generate(&m.generate);
		else if (m.type == MSG_IMPORT)
			import(&m.import);
		msg_clear(&m);
	}
}
