/*
 * The runner's side of the protocol over a real socket, with a fake pipeline behind it:
 * every state, cancel, and how the process ends. link_run() lives in a child process.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/frame.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/manifest.h"
#include "common/proto.h"
#include "common/timefmt.h"
#include "runner/image/image.h"
#include "runner/link.h"
#include "tests/golden.h"
#include "tests/runner/folder.h"

#define SECOND 1000000000ll
#define TEXT(literal) ((char[]){ literal })

struct peer {
	int fd;
	pid_t pid;
	struct frame_reader reader;
	char *root;                     /* models directory */
};

static void start(struct peer *p, const char *device)
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

/* The exit status, which must come within a second after what ends it. */
static int end(struct peer *p)
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

static void put(struct peer *p, struct msg m)
{
	size_t len;
	char *frame = msg_encode(&m, &len);

	assert_non_null(frame);
	assert_int_equal(send(p->fd, frame, len, MSG_NOSIGNAL), len);
	free(frame);
}

/* The next frame; false at the end of the stream. */
static bool next(struct peer *p, struct frame *ret)
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

static struct msg get(struct peer *p, unsigned state, enum msg_type type)
{
	struct frame f;
	struct err err;
	struct msg m;

	assert_true(next(p, &f));
	assert_int_equal(f.kind, FRAME_JSON);
	if (msg_decode(f.data, f.len, PROTO_RUNNER, state, &m, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(msg_name(m.type), msg_name(type));
	return m;
}

/* Skips progress, and that it is drawn. */
static struct msg get_end(struct peer *p)
{
	for (;;) {
		struct frame f;
		struct msg m;

		assert_true(next(p, &f));
		assert_int_equal(msg_decode(f.data, f.len, PROTO_RUNNER, PROTO_BUSY, &m, NULL), 0);
		if (m.type != MSG_PROGRESS && m.type != MSG_DRAWN)
			return m;
		msg_clear(&m);
	}
}

static void hello(struct peer *p)
{
	struct msg m = get(p, PROTO_STARTING, MSG_HELLO);

	assert_int_equal(m.hello.version, PROTO_VERSION);
	assert_string_equal(m.hello.device, "fake");
	assert_string_equal(m.hello.device_type, "software");
	msg_clear(&m);
}

static void put_load(struct peer *p, bool with_layers)
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
	put(p, (struct msg){ .type = MSG_LOAD, .load = {
		.model = TEXT("m"), .root = p->root, .manifest = manifest } });
	json_decref(manifest);
}

static void load(struct peer *p)
{
	struct frame f;
	struct msg m = { 0 };

	hello(p);
	put_load(p, true);
	do {
		msg_clear(&m);
		assert_true(next(p, &f));
		assert_int_equal(msg_decode(f.data, f.len, PROTO_RUNNER, PROTO_STATE_LOADING, &m, NULL), 0);
	} while (m.type == MSG_LOADING);
	assert_int_equal(m.type, MSG_READY);
	assert_int_equal(m.ready.weights, 100);
	assert_int_equal(m.ready.vram, 0);
	assert_int_equal(m.ready.steps, 9);
	msg_clear(&m);
}

static void put_generate_of(struct peer *p, uint64_t job, char *prompt, uint32_t side)
{
	put(p, (struct msg){ .type = MSG_GENERATE, .generate = {
		.job = job, .prompt = prompt, .width = side, .height = side, .steps = 3, .seed = 5,
		.cfg_truncation = 1 } });
}

/* More bytes than any socket's buffer. */
static void put_generate(struct peer *p, uint64_t job, char *prompt)
{
	put_generate_of(p, job, prompt, 704);
}

static void expect_drawn(struct peer *p, uint64_t job)
{
	struct msg m = get(p, PROTO_BUSY, MSG_DRAWN);

	assert_int_equal(m.drawn.job, job);
	msg_clear(&m);
}

static void expect_binary(struct peer *p, uint64_t bytes)
{
	struct frame f;

	assert_true(next(p, &f));
	assert_int_equal(f.kind, FRAME_BINARY);
	assert_int_equal(f.len, bytes);
	assert_memory_equal(f.data, "\x89PNG", 4);
}

static void draw(struct peer *p, uint64_t job)
{
	struct msg m;

	put_generate(p, job, TEXT("a cat"));
	for (uint32_t i = 1; i <= 3; i++) {
		m = get(p, PROTO_BUSY, MSG_PROGRESS);
		assert_int_equal(m.progress.job, job);
		assert_int_equal(m.progress.step, i);
		msg_clear(&m);
	}
	expect_drawn(p, job);
	m = get(p, PROTO_IDLE, MSG_IMAGE);
	assert_int_equal(m.image.job, job);
	assert_int_equal(m.image.seed, 5);
	assert_int_equal(m.image.tokens, 11);
	assert_int_equal(m.image.steps_reused, 5);
	assert_true(m.image.bytes > 1000000);
	expect_binary(p, m.image.bytes);
	msg_clear(&m);
}

static void expect_failed(struct peer *p, uint64_t job, const char *code)
{
	struct msg m = get_end(p);

	assert_int_equal(m.type, MSG_FAILED);
	assert_int_equal(m.failed.job, job);
	assert_string_equal(m.failed.code, code);
	msg_clear(&m);
}

static void pictures(void **state)
{
	struct peer p;

	(void)state;
	start(&p, NULL);
	load(&p);
	draw(&p, 1);
	draw(&p, 2);
	put_generate(&p, 3, TEXT("fail"));
	expect_failed(&p, 3, "internal");
	draw(&p, 4);
	assert_int_equal(end(&p), 0);
}

static void cancelled(void **state)
{
	struct peer p;
	struct msg m;

	(void)state;
	start(&p, NULL);
	load(&p);
	put_generate(&p, 7, TEXT("slow"));
	m = get(&p, PROTO_BUSY, MSG_PROGRESS);
	msg_clear(&m);
	/* Another job's cancel does nothing, this one's ends it. */
	put(&p, (struct msg){ .type = MSG_CANCEL, .cancel.job = 6 });
	put(&p, (struct msg){ .type = MSG_CANCEL, .cancel.job = 7 });
	expect_failed(&p, 7, "cancelled");
	/* One that comes too late is legal and does nothing. */
	put(&p, (struct msg){ .type = MSG_CANCEL, .cancel.job = 7 });
	draw(&p, 8);
	assert_int_equal(end(&p), 0);
}

/* Of two pictures one is drawn while the other becomes a PNG. */
static void one_behind_the_other(void **state)
{
	unsigned images = 0, drawn = 1;
	struct peer p;
	struct msg m;

	(void)state;
	start(&p, NULL);
	load(&p);
	put_generate(&p, 1, TEXT("a cat"));
	while (images < 4) {
		struct frame f;

		assert_true(next(&p, &f));
		assert_int_equal(msg_decode(f.data, f.len, PROTO_RUNNER, PROTO_BUSY, &m, NULL), 0);
		if (m.type == MSG_DRAWN) {
			assert_int_equal(m.drawn.job, drawn);
			assert_int_equal(images, drawn - 1);    /* no more than that are in memory */
			if (drawn++ < 4)
				put_generate(&p, drawn, TEXT("a cat"));
		} else if (m.type == MSG_IMAGE) {
			assert_int_equal(m.image.job, ++images);
			expect_binary(&p, m.image.bytes);
		} else {
			assert_int_equal(m.type, MSG_PROGRESS);
			assert_int_equal(m.progress.job, drawn);
		}
		msg_clear(&m);
	}
	draw(&p, 5);
	assert_int_equal(end(&p), 0);
}

static void put_partial(struct peer *p, uint64_t job, char *prompt, uint32_t n, char *format)
{
	put(p, (struct msg){ .type = MSG_GENERATE, .generate = {
		.job = job, .prompt = prompt, .width = 512, .height = 256, .steps = 3, .seed = 5,
		.cfg_truncation = 1, .partial_images = n, .format = format, .quality = 80 } });
}

/* A file of the format and size that was asked for. */
static void expect_file(struct peer *p, uint64_t bytes, const char *begin, size_t n)
{
	struct image im;
	struct frame f;

	assert_true(next(p, &f));
	assert_int_equal(f.kind, FRAME_BINARY);
	assert_int_equal(f.len, bytes);
	assert_memory_equal(f.data, begin, n);
	assert_int_equal(image_read(f.data, f.len, LIMIT_INPUT_PIXELS, NULL, &im, NULL), 0);
	assert_int_equal(im.width, 512);
	assert_int_equal(im.height, 256);
	image_finish(&im);
}

/* In order, each once, and the finished one last. */
static void partial_pictures(void **state)
{
	static const struct {
		char *format;
		const char *begin;
		size_t n;
	} rows[] = {
		{ NULL, "\x89PNG", 4 }, { (char *)"jpeg", "\xff\xd8\xff", 3 }, { (char *)"webp", "RIFF", 4 },
	};
	struct peer p;

	(void)state;
	start(&p, NULL);
	load(&p);
	for (uint64_t job = 1; job <= sizeof rows / sizeof *rows; job++) {
		uint32_t n = 0;
		struct msg m;

		put_partial(&p, job, TEXT("a cat"), 3, rows[job - 1].format);
		while ((m = get_end(&p)).type == MSG_PARTIAL) {
			assert_int_equal(m.partial.job, job);
			assert_int_equal(m.partial.index, n++);
			assert_int_equal(m.partial.width, 512);
			assert_int_equal(m.partial.height, 256);
			expect_file(&p, m.partial.bytes, rows[job - 1].begin, rows[job - 1].n);
			msg_clear(&m);
		}
		assert_int_equal(n, 3);
		assert_int_equal(m.type, MSG_IMAGE);
		expect_file(&p, m.image.bytes, rows[job - 1].begin, rows[job - 1].n);
		msg_clear(&m);
	}
	assert_int_equal(end(&p), 0);
}

/* Behind the end of a job nothing of it comes. */
static void cancelled_with_partial_pictures(void **state)
{
	struct peer p;
	struct msg m;

	(void)state;
	start(&p, NULL);
	load(&p);
	put_partial(&p, 1, TEXT("slow"), 3, NULL);
	put(&p, (struct msg){ .type = MSG_CANCEL, .cancel.job = 1 });
	while ((m = get_end(&p)).type == MSG_PARTIAL) {
		expect_file(&p, m.partial.bytes, "\x89PNG", 4);
		msg_clear(&m);
	}
	assert_int_equal(m.type, MSG_FAILED);
	msg_clear(&m);
	draw(&p, 2);
	put_partial(&p, 3, TEXT("slow"), 3, NULL);
	m = get(&p, PROTO_BUSY, MSG_PROGRESS);
	msg_clear(&m);
	assert_int_equal(end(&p), 0);
}

static void skip_progress(struct peer *p, uint64_t job, uint32_t steps)
{
	for (uint32_t i = 1; i <= steps; i++) {
		struct msg m = get(p, PROTO_BUSY, MSG_PROGRESS);

		assert_int_equal(m.progress.job, job);
		msg_clear(&m);
	}
}

/* The encoder stops, and what is drawn meanwhile goes on. */
static void cancelled_while_encoding(void **state)
{
	struct peer p;
	struct msg m;

	(void)state;
	start(&p, NULL);
	load(&p);
	put_generate_of(&p, 1, TEXT("a cat"), LIMIT_SIDE);
	skip_progress(&p, 1, 3);
	expect_drawn(&p, 1);
	put(&p, (struct msg){ .type = MSG_CANCEL, .cancel.job = 1 });
	put_generate(&p, 2, TEXT("slow"));
	expect_failed(&p, 1, "cancelled");
	put(&p, (struct msg){ .type = MSG_CANCEL, .cancel.job = 2 });
	expect_failed(&p, 2, "cancelled");
	draw(&p, 3);
	/* And at the end of everything. */
	put_generate_of(&p, 4, TEXT("a cat"), LIMIT_SIDE);
	skip_progress(&p, 4, 3);
	m = get(&p, PROTO_BUSY, MSG_DRAWN);
	msg_clear(&m);
	assert_int_equal(end(&p), 0);
}

static void gateway_gone(void **state)
{
	struct peer p;
	struct msg m;

	(void)state;
	start(&p, NULL);
	assert_int_equal(end(&p), 0);
	start(&p, NULL);
	load(&p);
	put_generate(&p, 1, TEXT("slow"));
	m = get(&p, PROTO_BUSY, MSG_PROGRESS);
	msg_clear(&m);
	assert_int_equal(end(&p), 0);
	/* In the middle of a frame. */
	start(&p, NULL);
	assert_int_equal(send(p.fd, "\x10\0\0", 3, 0), 3);
	assert_int_equal(end(&p), 0);
}

/* The request fails, then the process ends by itself: it could never draw again. */
static void lost_device(void **state)
{
	struct frame f;
	struct peer p;

	(void)state;
	start(&p, NULL);
	load(&p);
	put_generate(&p, 1, TEXT("lose the device"));
	expect_failed(&p, 1, "internal");
	assert_false(next(&p, &f));
	assert_int_equal(end(&p), 0);
}

/* ---- pictures in ---- */

static void put_frame(struct peer *p, const void *data, size_t len)
{
	unsigned char head[FRAME_HEADER];

	frame_header(FRAME_BINARY, (uint32_t)len, head);
	assert_int_equal(send(p->fd, head, sizeof head, MSG_NOSIGNAL), sizeof head);
	assert_int_equal(send(p->fd, data, len, MSG_NOSIGNAL), len);
}

/* name: in tests/data/images */
static void put_file(struct peer *p, const char *name)
{
	size_t len;
	char *data = golden_text(golden_path("../images/%s", name), &len);

	put_frame(p, data, len);
	free(data);
}

static void put_edit(struct peer *p, uint64_t job, char *prompt, uint32_t images, char *mask)
{
	put(p, (struct msg){ .type = MSG_GENERATE, .generate = {
		.job = job, .prompt = prompt, .width = 0, .height = 0, .steps = 3, .seed = 5,
		.cfg_truncation = 1, .images = images, .mask = mask, .strength = 0.5 } });
}

/* What the pipeline was asked for, and the size that the image message tells. */
static void expect_told(struct peer *p, uint32_t width, uint32_t height, const char *want)
{
	struct msg m = get_end(p);
	struct image told;
	struct frame f;

	if (m.type == MSG_FAILED)
		fail_msg("%s", m.failed.text);
	assert_int_equal(m.type, MSG_IMAGE);
	assert_int_equal(m.image.width, width);
	assert_int_equal(m.image.height, height);
	msg_clear(&m);
	assert_true(next(p, &f));
	assert_int_equal(image_read(f.data, f.len, LIMIT_INPUT_PIXELS, NULL, &told, NULL), 0);
	/* Its letters are the first pixels, zero the others. */
	assert_string_equal((char *)told.pixels, want);
	image_finish(&told);
}

static void pictures_in(void **state)
{
	struct peer p;

	(void)state;
	start(&p, NULL);
	load(&p);
	put_edit(&p, 1, TEXT("tell"), 1, NULL);
	put_file(&p, "png-rgb.png");
	expect_told(&p, 64, 64, "64x64 strength 0.5: 37x29/3");
	/* Alpha is gone, EXIF's orientation applied, one file a format. */
	put_edit(&p, 2, TEXT("tell"), 3, NULL);
	put_file(&p, "webp-lossless-alpha.webp");
	put_file(&p, "jpeg-exif-6.jpg");
	put_file(&p, "png-rgba.png");
	expect_told(&p, 64, 64, "64x64 strength 0.5: 37x29/3 16x24/3 37x29/3");
	/* The size follows the first picture. */
	put_edit(&p, 3, TEXT("tell"), 1, NULL);
	put_file(&p, "../goldens/preprocess/in_1400x1000.png");
	expect_told(&p, 1024, 736, "1024x736 strength 0.5: 1400x1000/3");
	draw(&p, 4);
	assert_int_equal(end(&p), 0);
}

static void masks_in(void **state)
{
	struct peer p;

	(void)state;
	start(&p, NULL);
	load(&p);
	put_edit(&p, 1, TEXT("tell"), 1, TEXT("alpha"));
	put_file(&p, "png-rgb.png");
	put_file(&p, "png-rgba.png");
	expect_told(&p, 64, 64, "64x64 strength 0.5: 37x29/3 mask 37x29/1, 300 marked");
	put_edit(&p, 2, TEXT("tell"), 1, TEXT("white"));
	put_file(&p, "png-rgb.png");
	put_file(&p, "png-grey-1.png");
	expect_told(&p, 64, 64, "64x64 strength 0.5: 37x29/3 mask 37x29/1, 570 marked");
	/* Of another size than the first picture: becomes as large. */
	put_edit(&p, 3, TEXT("tell"), 2, TEXT("white"));
	put_file(&p, "jpeg-exif-1.jpg");
	put_file(&p, "png-rgb.png");
	put_file(&p, "png-grey-1.png");
	expect_told(&p, 64, 64, "64x64 strength 0.5: 24x16/3 37x29/3 mask 24x16/1, 208 marked");
	assert_int_equal(end(&p), 0);
}

static void expect_invalid(struct peer *p, const char *text)
{
	struct msg m = get_end(p);

	assert_int_equal(m.type, MSG_FAILED);
	assert_string_equal(m.failed.code, "invalid");
	assert_string_equal(m.failed.text, text);
	msg_clear(&m);
}

/* The request fails, all its frames are taken, and the next one is drawn. */
static void bad_pictures(void **state)
{
	struct peer p;

	(void)state;
	start(&p, NULL);
	load(&p);
	put_edit(&p, 1, TEXT("tell"), 3, NULL);
	put_file(&p, "png-rgb.png");
	put_file(&p, "gif.gif");
	put_file(&p, "png-rgb.png");
	expect_invalid(&p, "invalid image 1: not a PNG, JPEG or WebP file");
	put_edit(&p, 2, TEXT("tell"), 1, TEXT("alpha"));
	put_frame(&p, "", 0);
	put_file(&p, "png-rgb.png");
	expect_invalid(&p, "invalid image 0: not a PNG, JPEG or WebP file");
	put_edit(&p, 3, TEXT("tell"), 1, TEXT("alpha"));
	put_file(&p, "png-rgb.png");
	put_file(&p, "cut-off.jpg");
	expect_invalid(&p, "invalid mask: JPEG: the file is cut off");
	draw(&p, 4);
	assert_int_equal(end(&p), 0);
}

static void cancelled_with_pictures(void **state)
{
	struct peer p;

	(void)state;
	start(&p, NULL);
	load(&p);
	put_edit(&p, 1, TEXT("slow"), 2, TEXT("alpha"));
	for (int i = 0; i < 3; i++)
		put_file(&p, "png-rgba.png");
	put(&p, (struct msg){ .type = MSG_CANCEL, .cancel.job = 1 });
	expect_failed(&p, 1, "cancelled");
	draw(&p, 2);
	assert_int_equal(end(&p), 0);
}

/* The socket closes while n of three files are here. */
static void check_gone(int n)
{
	struct peer p;

	start(&p, NULL);
	load(&p);
	put_edit(&p, 1, TEXT("slow"), 2, TEXT("alpha"));
	while (n--)
		put_file(&p, "png-rgba.png");
	assert_int_equal(end(&p), 0);
}

static void gone_with_pictures(void **state)
{
	(void)state;
	for (int n = 0; n <= 3; n++)
		check_gone(n);
}

static void expect_refused(struct peer *p)
{
	while (next(p, &(struct frame){ 0 }))
		;
	assert_int_equal(end(p), 1);
}

static void start_edit(struct peer *p, uint32_t images, char *mask)
{
	start(p, NULL);
	load(p);
	put_edit(p, 1, TEXT("slow"), images, mask);
}

static void frames_misplaced(void **state)
{
	struct peer p;

	(void)state;
	/* Between the message and its last file comes nothing else, not even a cancel. */
	start_edit(&p, 2, NULL);
	put_file(&p, "png-rgb.png");
	put(&p, (struct msg){ .type = MSG_CANCEL, .cancel.job = 1 });
	expect_refused(&p);
	start_edit(&p, 1, TEXT("white"));
	put_file(&p, "png-rgb.png");
	put_generate(&p, 2, TEXT("a cat"));
	expect_refused(&p);
	/* One too many; without a message; in front of it. */
	start_edit(&p, 1, TEXT("white"));
	for (int i = 0; i < 3; i++)
		put_file(&p, "png-rgb.png");
	expect_refused(&p);
	start(&p, NULL);
	load(&p);
	put_file(&p, "png-rgb.png");
	expect_refused(&p);
}

static void failed_load(void **state)
{
	struct peer p;
	struct msg m;

	(void)state;
	start(&p, NULL);
	hello(&p);
	put_load(&p, false);
	m = get(&p, PROTO_STATE_LOADING, MSG_FAILED);
	assert_int_equal(m.failed.job, 0);
	assert_string_equal(m.failed.code, "invalid");
	assert_string_equal(m.failed.text, "the model has no tensors");
	msg_clear(&m);
	assert_int_equal(end(&p), 0);
}

static void no_device(void **state)
{
	struct frame f;
	struct peer p;

	(void)state;
	start(&p, "no device");
	assert_false(next(&p, &f));
	assert_int_equal(end(&p), 1);
}

/* What is sent after hello, and must end the runner. */
static void check_misbehaviour(const void *bytes, size_t len)
{
	struct frame f;
	struct peer p;

	start(&p, NULL);
	hello(&p);
	assert_int_equal(send(p.fd, bytes, len, MSG_NOSIGNAL), len);
	assert_false(next(&p, &f));
	assert_int_equal(end(&p), 1);
}

static void check_bad_message(struct msg m)
{
	size_t len;
	char *frame = msg_encode(&m, &len);

	check_misbehaviour(frame, len);
	free(frame);
}

static void misbehaviour(void **state)
{
	(void)state;
	check_misbehaviour("\xff\xff\xff\xffJ", 5);
	check_misbehaviour("\x02\0\0\0X{}", 7);
	check_misbehaviour("\x02\0\0\0B{}", 7);
	check_misbehaviour("\x02\0\0\0J{}", 7);
	check_misbehaviour("\x02\0\0\0J{]", 7);
	check_bad_message((struct msg){ .type = MSG_CANCEL, .cancel.job = 1 });
	check_bad_message((struct msg){ .type = MSG_GENERATE, .generate = {
		.job = 1, .prompt = TEXT("early"), .width = 64, .height = 64, .steps = 1 } });
	check_bad_message((struct msg){ .type = MSG_IMPORT, .import = {
		.root = TEXT("/"), .model = TEXT("m"), .directory = TEXT("/") } });
	check_bad_message((struct msg){ .type = MSG_LOADING });
}

static void busy_refuses_more(void **state)
{
	struct peer p;

	(void)state;
	start(&p, NULL);
	load(&p);
	put_generate(&p, 1, TEXT("slow"));
	put_generate(&p, 2, TEXT("a cat"));
	expect_refused(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pictures),
		cmocka_unit_test(cancelled),
		cmocka_unit_test(one_behind_the_other), cmocka_unit_test(cancelled_while_encoding),
		cmocka_unit_test(partial_pictures), cmocka_unit_test(cancelled_with_partial_pictures),
		cmocka_unit_test(gateway_gone),
		cmocka_unit_test(lost_device),
		cmocka_unit_test(pictures_in),
		cmocka_unit_test(masks_in),
		cmocka_unit_test(bad_pictures),
		cmocka_unit_test(cancelled_with_pictures),
		cmocka_unit_test(gone_with_pictures),
		cmocka_unit_test(frames_misplaced),
		cmocka_unit_test(failed_load),
		cmocka_unit_test(no_device),
		cmocka_unit_test(misbehaviour),
		cmocka_unit_test(busy_refuses_more),
	};

	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
