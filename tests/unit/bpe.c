/*
 * The tokenizer: recorded ids from both kinds of files, traps of splitting, hostile
 * sizes, and files that must be refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/fields.h"
#include "runner/tokenizer/bpe.h"
#include "runner/transformer/transformer.h"
#include "tests/golden.h"

enum { MAX_IDS = 4096 };

static struct bpe *open_json(const char *model)
{
	size_t len;
	char *text = golden_text(golden_path("models/%s/tokenizer/tokenizer.json", model), &len);
	struct bpe *b;
	struct err err;

	if (bpe_create(text, len, NULL, 0, NULL, 0, NULL, 0, &b, &err) < 0)
		fail_msg("%s: %s", model, err.text);
	free(text);
	return b;
}

static struct bpe *open_files(const char *model)
{
	static const char *const names[] = { "vocab.json", "merges.txt", "tokenizer_config.json" };
	char *text[3];
	size_t len[3];
	struct bpe *b;
	struct err err;
	int i;

	for (i = 0; i < 3; i++)
		text[i] = golden_text(golden_path("models/%s/tokenizer/%s", model, names[i]),
				      &len[i]);
	if (bpe_create(NULL, 0, text[0], len[0], text[1], len[1], text[2], len[2], &b, &err) < 0)
		fail_msg("%s: %s", model, err.text);
	for (i = 0; i < 3; i++)
		free(text[i]);
	return b;
}

static void check_ids(const struct bpe *b, const char *text, size_t len, const json_t *want)
{
	uint32_t ids[MAX_IDS];
	struct err err;
	int i, n = bpe_encode(b, text, len, ids, MAX_IDS, &err);

	if (n < 0)
		fail_msg("'%.60s': %s", text, err.text);
	if ((size_t)n != json_array_size(want))
		fail_msg("'%.60s': %d ids, not %zu", text, n, json_array_size(want));
	for (i = 0; i < n; i++)
		if (ids[i] != json_integer_value(json_array_get(want, (size_t)i)))
			fail_msg("'%.60s': id %d is %u", text, i, ids[i]);
}

static void check_line(const struct bpe *b, const json_t *line)
{
	const json_t *text = json_object_get(line, "text");
	const json_t *prompt = json_object_get(line, "prompt");
	const struct transformer_class *family =
		json_is_true(json_object_get(line, "thinking")) ? &zimage : &flux2;
	char *chat;

	if (text) {
		check_ids(b, json_string_value(text), json_string_length(text),
			  json_object_get(line, "ids"));
		return;
	}
	/* The families' templates differ in their end. */
	assert_true(asprintf(&chat, "%s%s%s", family->prompt_prefix, json_string_value(prompt),
			     family->prompt_suffix) > 0);
	check_ids(b, chat, strlen(chat), json_object_get(line, "ids"));
	free(chat);
}

static void check_file(const struct bpe *b, const char *path)
{
	size_t len, lines = 0;
	char *text = golden_text(path, &len), *at = text, *newline;

	for (; (newline = strchr(at, '\n')); at = newline + 1, lines++) {
		json_t *line = json_loadb(at, (size_t)(newline - at), JSON_ALLOW_NUL, NULL);

		assert_non_null(line);
		check_line(b, line);
		json_decref(line);
	}
	assert_true(lines > 50);
	free(text);
}

static void test_recorded_ids(void **unused)
{
	static const char *const models[] = { "klein-a", "zimage-a", "zimage-b" };
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof models / sizeof models[0]; i++) {
		struct bpe *json = open_json(models[i]), *files = open_files(models[i]);

		check_file(json, golden_path("tokenizer/%s.jsonl", models[i]));
		check_file(json, golden_path("tokenizer/%s.chat.jsonl", models[i]));
		check_file(files, golden_path("tokenizer/%s.jsonl", models[i]));
		check_file(files, golden_path("tokenizer/%s.chat.jsonl", models[i]));
		bpe_free(json);
		bpe_free(files);
	}
}

/* A tokenizer whose tokens are the 256 bytes and the given merges. */
static struct bpe *open_bytes(const char *merges)
{
	struct buf json = BUF_INIT(1 << 20);
	struct bpe *b;
	struct err err;
	unsigned i, next = 256;

	buf_puts(&json, "{\"model\":{\"type\":\"BPE\",\"vocab\":{");
	for (i = 0; i < 256; i++) {
		int own = (i >= 33 && i <= 126) || (i >= 161 && i <= 172) || i >= 174;

		buf_printf(&json, "%s\"\\u%04x\":%u", i ? "," : "", own ? i : next++, i);
	}
	buf_printf(&json, ",\"ab\":256,\"abab\":257,\"aa\":258},\"merges\":[%s]},"
		   "\"normalizer\":{\"type\":\"NFC\"},\"added_tokens\":["
		   "{\"id\":300,\"content\":\"<x>\"},{\"id\":301,\"content\":\"<x>y\"}],"
		   "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","
		   "\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":\"[a-z]+|\\\\s+\"}}]}}",
			   merges);
	if (bpe_create(json.data, json.len, NULL, 0, NULL, 0, NULL, 0, &b, &err) < 0)
		fail_msg("%s", err.text);
	buf_finish(&json);
	return b;
}

static void expect(const struct bpe *b, const char *text, const char *ids)
{
	json_t *want = json_loads(ids, 0, NULL);

	assert_non_null(want);
	check_ids(b, text, strlen(text), want);
	json_decref(want);
}

static void test_merging_and_cutting(void **unused)
{
	struct bpe *b = open_bytes("\"a a\",[\"a\",\"b\"],\"ab ab\"");

	(void)unused;
	expect(b, "abab", "[257]");
	expect(b, "aab", "[258, 98]");                  /* the lower rank first */
	expect(b, "aaa", "[258, 97]");                  /* leftmost on ties */
	expect(b, "ab1ab", "[256, 49, 256]");           /* a gap between matches is a piece */
	expect(b, "ab ab", "[256, 32, 256]");           /* nothing merges across pieces */
	expect(b, "<x>y<x>", "[301, 300]");             /* the longest added token */
	expect(b, "", "[]");
	/* U+180E is no white space to the reference: a gap, so it does not join the blank. */
	expect(b, " \xe1\xa0\x8e ", "[32, 225, 160, 142, 32]");
	/* Marks out of order: U+0301 U+0323 on e is U+1EB9 U+0301 composed. */
	expect(b, "e\xcc\x81\xcc\xa3", "[225, 186, 185, 204, 129]");
	bpe_free(b);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* What repeats makes a piece of a megabyte; none may take more than moments or fail. */
static void test_hostile_megabytes(void **unused)
{
	static const char *const units[] = {
		"a", " ", "\n", " \n", "!", "7", "<", "ab", "'s", "\xcc\x81\xcc\xa3",
			"\xea\xb0\x80", "\xf0\x9f\x98\x80",
	};
	struct bpe *b = open_json("zimage-a");
	size_t i, len = 1 << 20;
	char *text = malloc(len + 16);
	uint32_t ids[512];

	(void)unused;
	assert_non_null(text);
	for (i = 0; i < sizeof units / sizeof units[0]; i++) {
		size_t at, unit = strlen(units[i]);
		double start = seconds();
		struct err err;
		int n;

		for (at = 0; at + unit <= len; at += unit)
			memcpy(text + at, units[i], unit);
		text[at++] = 'x';
		n = bpe_encode(b, text, at, ids, 512, &err);
		if (n <= 0)
			fail_msg("unit %zu: %s", i, n < 0 ? err.text : "no ids");
		if (seconds() - start > 20)
			fail_msg("unit %zu took %.1f s", i, seconds() - start);
	}
	free(text);
	bpe_free(b);
}

static void test_cut_at_max(void **unused)
{
	struct bpe *b = open_bytes("\"a b\"");
	uint32_t ids[3] = { 0, 0, 999 };
	struct err err;

	(void)unused;
	assert_int_equal(bpe_encode(b, "1 2 3 <x>", 9, ids, 2, &err), 2);
	assert_int_equal(ids[0], 49);
	assert_int_equal(ids[1], 32);
	assert_int_equal(ids[2], 999);
	bpe_free(b);
}

static void test_refused_files(void **unused)
{
	static const struct { const char *json; int code; const char *says; } cases[] = {
		{ "", -EBADMSG, "tokenizer.json" },
		{ "[]", -EINVAL, "model type" },
		{ "{\"model\":{\"type\":\"Unigram\"}}", -EINVAL, "Unigram" },
		{ "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1}}}", -EINVAL, "'a'" },
		{ "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1},\"merges\":[\"a b\"]}}",
		 -EINVAL, "a b" },
		{ "{\"model\":{\"vocab\":{\"a\":1},\"merges\":[]},\"normalizer\":{\"type\":\"NFKC\"}}",
		  -EINVAL, "NFKC" },
		{ "{\"model\":{\"vocab\":{\"a\":1},\"merges\":[]}}", -EINVAL, "pre_tokenizer" },
		{ "{\"model\":{\"vocab\":{\"a\":1},\"merges\":[]},\"pre_tokenizer\":{\"type\":\"Sequence\","
		  "\"pretokenizers\":[{\"type\":\"Split\",\"behavior\":\"Isolated\","
		  "\"pattern\":{\"Regex\":\"(\"}}]}}", -EINVAL, "pattern" },
		{ "{\"model\":{\"vocab\":{\"a\":1},\"merges\":[]},\"added_tokens\":[{\"id\":3}]}",
		  -EINVAL, "added token" },
	};
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct bpe *b = NULL;
		struct err err;
		int r = bpe_create(cases[i].json, strlen(cases[i].json), NULL, 0, NULL, 0, NULL, 0,
				   &b, &err);

		if (r != cases[i].code || !strstr(err.text, cases[i].says))
			fail_msg("case %zu: %d, %s", i, r, r < 0 ? err.text : "accepted");
		assert_null(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded_ids),
		cmocka_unit_test(test_merging_and_cutting),
		cmocka_unit_test(test_hostile_megabytes),
		cmocka_unit_test(test_cut_at_max),
		cmocka_unit_test(test_refused_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
