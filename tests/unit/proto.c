/*
 * proto.c: each message comes back as it went, and what the other side may not send.
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
#include "common/proto.h"

/* Encodes, decodes as sender in state, encodes again: the same bytes. */
static void round_trip(const struct msg *m, enum proto_side sender, unsigned state, struct msg *ret)
{
	size_t len, again_len;
	char *frame = msg_encode(m, &len), *again;
	struct err err = { 0 };

	assert_non_null(frame);
	if (msg_decode(frame + FRAME_HEADER, len - FRAME_HEADER, sender, state, ret, &err) < 0)
		fail_msg("%s: %s", msg_name(m->type), err.text);
	again = msg_encode(ret, &again_len);
	assert_int_equal(len, again_len);
	assert_memory_equal(frame, again, len);
	free(frame);
	free(again);
}

static void test_generate(void **unused)
{
	struct msg m = {
		.type = MSG_GENERATE,
		.generate = {
			.job = 7, .prompt = (char *)"a \"cat\"\n\xE7\x8C\xAB", .width = 1024, .height = 64, .steps = 9,
			.seed = UINT64_MAX, .guidance = 2.5, .cfg_truncation = 1, .images = 2, .mask = (char *)"alpha",
			.strength = 0.5, .step_cache = (char *)"teacache", .step_cache_threshold = 0.2,
			.format = (char *)"webp", .quality = 100, .partial_images = 3,
		},
	}, back;

	(void)unused;
	round_trip(&m, PROTO_GATEWAY, PROTO_IDLE, &back);
	assert_string_equal(back.generate.prompt, m.generate.prompt);
	assert_null(back.generate.negative);
	assert_true(back.generate.seed == UINT64_MAX && back.generate.guidance >= 2.5);
	assert_string_equal(back.generate.step_cache, "teacache");
	msg_clear(&back);
}

static void test_every_message(void **unused)
{
	struct msg rows[] = {
		{ .type = MSG_HELLO, .hello = { .version = PROTO_VERSION, .device = (char *)"d" } },
		{ .type = MSG_LOAD, .load = { .model = (char *)"m", .root = (char *)"/r", .manifest = json_object() } },
		{ .type = MSG_LOADING, .loading = { 1, 2 } },
		{ .type = MSG_READY, .ready = { .width = 64, .height = 4096, .steps = 1 } },
		{ .type = MSG_PROGRESS, .progress = { .job = 1, .phase = (char *)"denoise", .total = 9 } },
		{ .type = MSG_IMAGE, .image = { .job = 1, .bytes = 5, .width = 64, .height = 64 } },
		{ .type = MSG_PARTIAL, .partial = { .job = 1, .bytes = 5, .index = 2, .width = 64, .height = 64 } },
		{ .type = MSG_FAILED, .failed = { .code = (char *)"memory", .text = (char *)"out of memory" } },
		{ .type = MSG_CANCEL, .cancel = { 1 } },
		{ .type = MSG_IMPORT, .import = { .root = (char *)"/r", .model = (char *)"m", .directory = (char *)"/d" } },
		{ .type = MSG_STATUS, .status = { .status = (char *)"importing", .total = 1 } },
		{ .type = MSG_IMPORTED, .imported = { .digest = (char *)"sha256:x", .layers = 3 } },
	};
	const unsigned any = 0xFF;

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		bool gateway = rows[i].type == MSG_LOAD || rows[i].type == MSG_CANCEL || rows[i].type == MSG_IMPORT;
		struct msg back;

		round_trip(&rows[i], gateway ? PROTO_GATEWAY : PROTO_RUNNER, any, &back);
		msg_clear(&back);
	}
	json_decref(rows[1].load.manifest);
}

static void test_refused(void **unused)
{
	static const struct {
		const char *json;
		enum proto_side sender;
		unsigned state;
		const char *why;
	} rows[] = {
		{ "", PROTO_GATEWAY, PROTO_IDLE, "EOF" },
		{ "[]", PROTO_GATEWAY, PROTO_IDLE, "unknown type" },
		{ "{\"type\":\"none\"}", PROTO_GATEWAY, PROTO_IDLE, "unknown type" },
		{ "{\"type\":\"cancel\",\"job\":1}", PROTO_RUNNER, PROTO_IDLE, "not for the runner" },
		{ "{\"type\":\"cancel\",\"job\":1}", PROTO_GATEWAY, PROTO_STARTING, "not legal" },
		{ "{\"type\":\"cancel\"}", PROTO_GATEWAY, PROTO_IDLE, "'job'" },
		{ "{\"type\":\"cancel\",\"job\":0}", PROTO_GATEWAY, PROTO_IDLE, "'job'" },
		{ "{\"type\":\"cancel\",\"job\":1,\"more\":2}", PROTO_GATEWAY, PROTO_BUSY, "'more'" },
		{ "{\"type\":\"hello\",\"version\":1,\"new\":1}", PROTO_RUNNER, PROTO_STARTING, "version 1" },
		{ "{\"type\":\"hello\"}", PROTO_RUNNER, PROTO_STARTING, "version" },
		{ "{\"type\":\"generate\",\"job\":1,\"prompt\":\"\",\"width\":72,\"height\":64,\"steps\":1,\"seed\":1,"
		  "\"guidance\":0,\"cfg_normalization\":0,\"cfg_truncation\":1,\"images\":0,\"strength\":-1}",
		  PROTO_GATEWAY, PROTO_IDLE, "72x64" },
		{ "{\"type\":\"generate\",\"job\":1,\"prompt\":\"\",\"width\":64,\"height\":64,\"steps\":1,\"seed\":1,"
		  "\"guidance\":0,\"cfg_normalization\":0,\"cfg_truncation\":1,\"images\":0,\"strength\":-1,"
		  "\"format\":\"tiff\"}", PROTO_GATEWAY, PROTO_IDLE, "format 'tiff'" },
		{ "{\"type\":\"generate\",\"job\":1,\"prompt\":\"\",\"width\":64,\"height\":64,\"steps\":1,\"seed\":1,"
		  "\"guidance\":0,\"cfg_normalization\":0,\"cfg_truncation\":1,\"images\":0,\"strength\":-1,"
		  "\"partial_images\":4}", PROTO_GATEWAY, PROTO_IDLE, "'partial_images'" },
		{ "{\"type\":\"generate\",\"job\":1,\"prompt\":\"\",\"width\":0,\"height\":64,\"steps\":1,\"seed\":1,"
		  "\"guidance\":0,\"cfg_normalization\":0,\"cfg_truncation\":1,\"images\":0,\"strength\":-1}",
		  PROTO_GATEWAY, PROTO_IDLE, "too small" },
		{ "{\"type\":\"generate\",\"job\":1,\"prompt\":\"\",\"width\":64,\"height\":64,\"steps\":1,\"seed\":1,"
		  "\"guidance\":0,\"cfg_normalization\":0,\"cfg_truncation\":1,\"images\":1,\"mask\":\"x\","
		  "\"strength\":-1}", PROTO_GATEWAY, PROTO_IDLE, "mask 'x'" },
		{ "{\"type\":\"generate\",\"job\":1,\"prompt\":\"\",\"width\":64,\"height\":64,\"steps\":1,\"seed\":1,"
		  "\"guidance\":0,\"cfg_normalization\":0,\"cfg_truncation\":1,\"images\":0,\"strength\":-1,"
		  "\"step_cache\":\"x\"}", PROTO_GATEWAY, PROTO_IDLE, "step_cache 'x'" },
		{ "{\"type\":\"generate\",\"job\":1,\"prompt\":\"\",\"width\":64,\"height\":64,\"steps\":1001,"
		  "\"seed\":1}", PROTO_GATEWAY, PROTO_IDLE, "'steps'" },
		{ "{\"type\":\"image\",\"job\":1,\"bytes\":268435457,\"width\":64,\"height\":64,\"seed\":1}",
		  PROTO_RUNNER, PROTO_BUSY, "'bytes'" },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct err err = { 0 };
		struct msg m;

		assert_int_equal(msg_decode(rows[i].json, strlen(rows[i].json), rows[i].sender, rows[i].state,
					    &m, &err), -EBADMSG);
		if (!strstr(err.text, rows[i].why))
			fail_msg("row %zu: %s", i, err.text);
	}
}

static void test_failures(void **unused)
{
	static const int codes[] = { -EINVAL, -ENOENT, -ECANCELED, -ENOMEM, -ENOSPC };

	(void)unused;
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		assert_int_equal(msg_failed_code(msg_failed_name(codes[i])), codes[i]);
	assert_string_equal(msg_failed_name(-EBADMSG), "internal");
	assert_int_equal(msg_failed_code("internal"), -EIO);
	assert_int_equal(msg_failed_code("?"), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_generate),
		cmocka_unit_test(test_every_message),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
