/*
 * frame.c: frames cut at every byte, several at once, and bounds before memory.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/frame.h"
#include "common/limits.h"

static size_t put(char *out, enum frame_kind kind, const char *payload, size_t len)
{
	unsigned char header[FRAME_HEADER];

	frame_header(kind, (uint32_t)len, header);
	memcpy(out, header, FRAME_HEADER);
	memcpy(out + FRAME_HEADER, payload, len);
	return FRAME_HEADER + len;
}

static void expect(struct frame_reader *r, enum frame_kind kind, const char *payload, size_t len)
{
	struct frame frame;

	assert_int_equal(frame_reader_next(r, &frame, NULL), 1);
	assert_int_equal(frame.kind, kind);
	assert_int_equal(frame.len, len);
	assert_memory_equal(frame.data, payload, len);
}

static void test_cut_anywhere(void **unused)
{
	char bytes[64];
	size_t len = put(bytes, FRAME_JSON, "{}", 2);
	struct frame_reader r;
	struct frame frame;

	(void)unused;
	len += put(bytes + len, FRAME_BINARY, "\0\1\2", 3);
	len += put(bytes + len, FRAME_JSON, "", 0);
	for (size_t cut = 0; cut <= len; cut++) {
		size_t got = 0;

		frame_reader_init(&r);
		assert_int_equal(frame_reader_feed(&r, bytes, cut, NULL), 0);
		while (frame_reader_next(&r, &frame, NULL) == 1)
			got++;
		assert_int_equal(frame_reader_feed(&r, bytes + cut, len - cut, NULL), 0);
		while (frame_reader_next(&r, &frame, NULL) == 1)
			got++;
		assert_int_equal(got, 3);
		frame_reader_finish(&r);
	}
	frame_reader_init(&r);
	assert_int_equal(frame_reader_feed(&r, bytes, len, NULL), 0);
	expect(&r, FRAME_JSON, "{}", 2);
	expect(&r, FRAME_BINARY, "\0\1\2", 3);
	expect(&r, FRAME_JSON, "", 0);
	assert_int_equal(frame_reader_next(&r, &frame, NULL), 0);
	frame_reader_finish(&r);
}

static void test_bounds(void **unused)
{
	static const struct {
		enum frame_kind kind;
		uint32_t len;
		int want;
	} rows[] = {
		{ FRAME_JSON, LIMIT_FRAME, 0 }, { FRAME_JSON, LIMIT_FRAME + 1, -EBADMSG },
		{ FRAME_BINARY, LIMIT_IMAGE, 0 }, { FRAME_BINARY, LIMIT_IMAGE + 1, -EBADMSG },
		{ FRAME_JSON, UINT32_MAX, -EBADMSG }, { (enum frame_kind)'X', 1, -EBADMSG },
		{ (enum frame_kind)0, 0, -EBADMSG },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		unsigned char header[FRAME_HEADER];
		struct frame_reader r;
		struct frame frame;
		struct err err;

		frame_header(rows[i].kind, rows[i].len, header);
		frame_reader_init(&r);
		assert_int_equal(frame_reader_feed(&r, header, sizeof header, &err), 0);
		assert_int_equal(frame_reader_next(&r, &frame, &err), rows[i].want);
		/* It stays wrong, whatever else arrives. */
		assert_int_equal(frame_reader_feed(&r, "J", 1, &err), 0);
		assert_int_equal(frame_reader_next(&r, &frame, &err), rows[i].want);
		frame_reader_finish(&r);
	}
}

static void test_large(void **unused)
{
	size_t len = 3u << 20;
	char *bytes = malloc(FRAME_HEADER + len), *payload = calloc(1, len);
	struct frame_reader r;
	struct frame frame;

	(void)unused;
	payload[len - 1] = 'z';
	put(bytes, FRAME_BINARY, payload, len);
	frame_reader_init(&r);
	for (size_t at = 0; at < FRAME_HEADER + len; at += 65536) {
		size_t n = FRAME_HEADER + len - at < 65536 ? FRAME_HEADER + len - at : 65536;

		assert_int_equal(frame_reader_next(&r, &frame, NULL), 0);
		assert_int_equal(frame_reader_feed(&r, bytes + at, n, NULL), 0);
	}
	expect(&r, FRAME_BINARY, payload, len);
	/* A picture's memory is not kept. */
	assert_int_equal(frame_reader_feed(&r, "\0", 1, NULL), 0);
	assert_true(r.in.size < len);
	frame_reader_finish(&r);
	free(payload);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
