/*
 * The runner's side of the protocol over a real socket, with a fake pipeline behind it:
 * every state, cancel, and how the process ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/frame.h"
#include "common/limits.h"
#include "common/proto.h"
#include "runner/image/image.h"
#include "tests/runner/peer.h"

static void pictures(void **state)
{
	struct peer p;

	(void)state;
	peer_start(&p, NULL);
	peer_load(&p);
	peer_draw(&p, 1);
	peer_draw(&p, 2);
	peer_put_generate(&p, 3, TEXT("fail"));
	peer_expect_failed(&p, 3, "internal");
	peer_draw(&p, 4);
	assert_int_equal(peer_end(&p), 0);
}

static void cancelled(void **state)
{
	struct peer p;
	struct msg m;

	(void)state;
	peer_start(&p, NULL);
	peer_load(&p);
	peer_put_generate(&p, 7, TEXT("slow"));
	m = peer_get(&p, PROTO_BUSY, MSG_PROGRESS);
	msg_clear(&m);
	/* Another job's cancel does nothing, this one's ends it. */
	peer_put(&p, (struct msg){ .type = MSG_CANCEL, .cancel.job = 6 });
	peer_put(&p, (struct msg){ .type = MSG_CANCEL, .cancel.job = 7 });
	peer_expect_failed(&p, 7, "cancelled");
	/* One that comes too late is legal and does nothing. */
	peer_put(&p, (struct msg){ .type = MSG_CANCEL, .cancel.job = 7 });
	peer_draw(&p, 8);
	assert_int_equal(peer_end(&p), 0);
}

/* Of two pictures one is drawn while the other becomes a PNG. */
static void one_behind_the_other(void **state)
{
	unsigned images = 0, drawn = 1;
	struct peer p;
	struct msg m;

	(void)state;
	peer_start(&p, NULL);
	peer_load(&p);
	peer_put_generate(&p, 1, TEXT("a cat"));
	while (images < 4) {
		struct frame f;

		assert_true(peer_next(&p, &f));
		assert_int_equal(msg_decode(f.data, f.len, PROTO_RUNNER, PROTO_BUSY, &m, NULL), 0);
		if (m.type == MSG_DRAWN) {
			assert_int_equal(m.drawn.job, drawn);
			assert_int_equal(images, drawn - 1);    /* no more than that are in memory */
			if (drawn++ < 4)
				peer_put_generate(&p, drawn, TEXT("a cat"));
		} else if (m.type == MSG_IMAGE) {
			assert_int_equal(m.image.job, ++images);
			peer_expect_binary(&p, m.image.bytes);
		} else {
			assert_int_equal(m.type, MSG_PROGRESS);
			assert_int_equal(m.progress.job, drawn);
		}
		msg_clear(&m);
	}
	peer_draw(&p, 5);
	assert_int_equal(peer_end(&p), 0);
}

static void put_partial(struct peer *p, uint64_t job, char *prompt, uint32_t n, char *format)
{
	peer_put(p, (struct msg){ .type = MSG_GENERATE, .generate = {
		.job = job, .prompt = prompt, .width = 512, .height = 256, .steps = 3, .seed = 5,
		.cfg_truncation = 1, .partial_images = n, .format = format, .quality = 80 } });
}

/* A file of the format and size that was asked for. */
static void expect_file(struct peer *p, uint64_t bytes, const char *begin, size_t n)
{
	struct image im;
	struct frame f;

	assert_true(peer_next(p, &f));
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
	peer_start(&p, NULL);
	peer_load(&p);
	for (uint64_t job = 1; job <= sizeof rows / sizeof *rows; job++) {
		uint32_t n = 0;
		struct msg m;

		put_partial(&p, job, TEXT("a cat"), 3, rows[job - 1].format);
		while ((m = peer_get_end(&p)).type == MSG_PARTIAL) {
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
	assert_int_equal(peer_end(&p), 0);
}

/* Behind the end of a job nothing of it comes. */
static void cancelled_with_partial_pictures(void **state)
{
	struct peer p;
	struct msg m;

	(void)state;
	peer_start(&p, NULL);
	peer_load(&p);
	put_partial(&p, 1, TEXT("slow"), 3, NULL);
	peer_put(&p, (struct msg){ .type = MSG_CANCEL, .cancel.job = 1 });
	while ((m = peer_get_end(&p)).type == MSG_PARTIAL) {
		expect_file(&p, m.partial.bytes, "\x89PNG", 4);
		msg_clear(&m);
	}
	assert_int_equal(m.type, MSG_FAILED);
	msg_clear(&m);
	peer_draw(&p, 2);
	put_partial(&p, 3, TEXT("slow"), 3, NULL);
	m = peer_get(&p, PROTO_BUSY, MSG_PROGRESS);
	msg_clear(&m);
	assert_int_equal(peer_end(&p), 0);
}

static void skip_progress(struct peer *p, uint64_t job, uint32_t steps)
{
	for (uint32_t i = 1; i <= steps; i++) {
		struct msg m = peer_get(p, PROTO_BUSY, MSG_PROGRESS);

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
	peer_start(&p, NULL);
	peer_load(&p);
	peer_put_generate_of(&p, 1, TEXT("a cat"), LIMIT_SIDE);
	skip_progress(&p, 1, 3);
	peer_expect_drawn(&p, 1);
	peer_put(&p, (struct msg){ .type = MSG_CANCEL, .cancel.job = 1 });
	peer_put_generate(&p, 2, TEXT("slow"));
	peer_expect_failed(&p, 1, "cancelled");
	peer_put(&p, (struct msg){ .type = MSG_CANCEL, .cancel.job = 2 });
	peer_expect_failed(&p, 2, "cancelled");
	peer_draw(&p, 3);
	/* And at the end of everything. */
	peer_put_generate_of(&p, 4, TEXT("a cat"), LIMIT_SIDE);
	skip_progress(&p, 4, 3);
	m = peer_get(&p, PROTO_BUSY, MSG_DRAWN);
	msg_clear(&m);
	assert_int_equal(peer_end(&p), 0);
}

static void gateway_gone(void **state)
{
	struct peer p;
	struct msg m;

	(void)state;
	peer_start(&p, NULL);
	assert_int_equal(peer_end(&p), 0);
	peer_start(&p, NULL);
	peer_load(&p);
	peer_put_generate(&p, 1, TEXT("slow"));
	m = peer_get(&p, PROTO_BUSY, MSG_PROGRESS);
	msg_clear(&m);
	assert_int_equal(peer_end(&p), 0);
	/* In the middle of a frame. */
	peer_start(&p, NULL);
	assert_int_equal(send(p.fd, "\x10\0\0", 3, 0), 3);
	assert_int_equal(peer_end(&p), 0);
}

/* The request fails, then the process ends by itself: it could never draw again. */
static void lost_device(void **state)
{
	struct frame f;
	struct peer p;

	(void)state;
	peer_start(&p, NULL);
	peer_load(&p);
	peer_put_generate(&p, 1, TEXT("lose the device"));
	peer_expect_failed(&p, 1, "internal");
	assert_false(peer_next(&p, &f));
	assert_int_equal(peer_end(&p), 0);
}

static void failed_load(void **state)
{
	struct peer p;
	struct msg m;

	(void)state;
	peer_start(&p, NULL);
	peer_hello(&p);
	peer_put_load(&p, false);
	m = peer_get(&p, PROTO_STATE_LOADING, MSG_FAILED);
	assert_int_equal(m.failed.job, 0);
	assert_string_equal(m.failed.code, "invalid");
	assert_string_equal(m.failed.text, "the model has no tensors");
	msg_clear(&m);
	assert_int_equal(peer_end(&p), 0);
}

static void no_device(void **state)
{
	struct frame f;
	struct peer p;

	(void)state;
	peer_start(&p, "no device");
	assert_false(peer_next(&p, &f));
	assert_int_equal(peer_end(&p), 1);
}

/* What is sent after hello, and must end the runner. */
static void check_misbehaviour(const void *bytes, size_t len)
{
	struct frame f;
	struct peer p;

	peer_start(&p, NULL);
	peer_hello(&p);
	assert_int_equal(send(p.fd, bytes, len, MSG_NOSIGNAL), len);
	assert_false(peer_next(&p, &f));
	assert_int_equal(peer_end(&p), 1);
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
	peer_start(&p, NULL);
	peer_load(&p);
	peer_put_generate(&p, 1, TEXT("slow"));
	peer_put_generate(&p, 2, TEXT("a cat"));
	peer_expect_refused(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pictures),
		cmocka_unit_test(cancelled),
		cmocka_unit_test(one_behind_the_other),
		cmocka_unit_test(partial_pictures),
		cmocka_unit_test(cancelled_with_partial_pictures),
		cmocka_unit_test(cancelled_while_encoding),
		cmocka_unit_test(gateway_gone),
		cmocka_unit_test(lost_device),
		cmocka_unit_test(failed_load),
		cmocka_unit_test(no_device),
		cmocka_unit_test(misbehaviour),
		cmocka_unit_test(busy_refuses_more),
	};

	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
