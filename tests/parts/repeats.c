/*
 * What a pipeline keeps from one picture to the next: captions and recorded graphs. It
 * shows in what is not done again, never in the picture.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/pipeline_private.h"
#include "tests/golden.h"
#include "tests/ops/vk/device.h"
#include "tests/parts/fixture.h"

static struct vk *vk;

static const struct pipeline_request request = {
	.prompt = "cat", .width = 64, .height = 64, .steps = 1, .seed = 42, .cfg_truncation = 1,
};

/* Asks between "encode" and "denoise": one per slice of work. */
struct counter {
	bool encoding;
	unsigned asked;
};

static bool count_asks(void *context)
{
	struct counter *c = context;

	c->asked += c->encoding;
	return false;
}

static void note_phase(void *context, const char *phase, uint32_t step, uint32_t total)
{
	struct counter *c = context;

	(void)step;
	(void)total;
	c->encoding = !strcmp(phase, "encode");
}

/* The picture's bytes, the caller's to finish; *ret_encoded: whether any prompt was. */
static struct buf draw(struct fixture *f, const struct pipeline_request *r, bool *ret_encoded)
{
	struct counter counter = { 0 };
	const struct pipeline_hooks hooks = {
		.context = &counter, .cancelled = count_asks, .progress = note_phase,
	};
	struct buf png = BUF_INIT(1 << 20);
	struct err err;

	if (fixture_png(f->pipeline, r, &hooks, &png, &err) < 0)
		fail_msg("%s", err.text);
	if (ret_encoded)
		*ret_encoded = counter.asked > 0;
	return png;
}

static void expect_same(struct buf *got, struct buf *want)
{
	assert_int_equal(got->len, want->len);
	assert_memory_equal(got->data, want->data, got->len);
	buf_finish(got);
	buf_finish(want);
}

static struct pipeline_request with_prompts(const char *prompt, const char *negative, uint64_t seed)
{
	struct pipeline_request r = request;

	r.prompt = prompt;
	r.negative = negative;
	r.guidance = negative ? 3 : 0;
	r.seed = seed;
	return r;
}

static void test_prompt_is_encoded_once(void **unused)
{
	static const struct {
		const char *prompt, *negative;
		uint64_t seed;
		bool encodes;
	} rows[] = {
		{ "cat", NULL, 1, true }, { "cat", NULL, 2, false },
		{ "a red dog", NULL, 1, true }, { "cat", NULL, 1, false },
		{ "cat", "a red dog", 1, false }, { "cat", "blue", 1, true },
		{ "cat", "blue", 2, false }, { "cat", "", 2, true }, { "blue", "", 2, false },
	};
	struct fixture kept;
	size_t i;

	(void)unused;
	fixture_open(&kept, vk, golden_path("models/zimage-a"));
	for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct pipeline_request r = with_prompts(rows[i].prompt, rows[i].negative, rows[i].seed);
		struct fixture fresh;
		struct buf got, want;
		bool encoded;

		got = draw(&kept, &r, &encoded);
		assert_int_equal(encoded, rows[i].encodes);
		fixture_open(&fresh, vk, golden_path("models/zimage-a"));
		want = draw(&fresh, &r, &encoded);
		assert_true(encoded);
		fixture_close(&fresh);
		expect_same(&got, &want);
	}
	fixture_close(&kept);
}

/* klein sees the padding behind its prompt. */
static void test_padded_prompts(void **unused)
{
	const struct pipeline_request cat = with_prompts("cat", NULL, 1);
	const struct pipeline_request dog = with_prompts("a red dog", NULL, 1);
	struct buf first, again;
	struct fixture f;
	uint32_t tokens;
	bool encoded;

	(void)unused;
	fixture_open(&f, vk, golden_path("models/klein-a"));
	first = draw(&f, &cat, NULL);
	again = draw(&f, &dog, &encoded);
	assert_true(encoded);
	assert_false(again.len == first.len && !memcmp(again.data, first.data, first.len));
	buf_finish(&again);
	tokens = pipeline_drawn(f.pipeline)->tokens;
	again = draw(&f, &cat, &encoded);
	assert_false(encoded);
	/* Kept or not, the prompt's own tokens are told, not the padding. */
	assert_in_range(pipeline_drawn(f.pipeline)->tokens, 1, tokens - 1);
	assert_true(tokens < LIMIT_PROMPT_TOKENS);
	expect_same(&again, &first);
	fixture_close(&f);
}

static struct prompt_ids ids_of(uint32_t id)
{
	return (struct prompt_ids){ .id = { id }, .n = 1, .n_seen = 1 };
}

static bool has(struct captions *c, uint32_t id)
{
	const struct prompt_ids ids = ids_of(id);
	struct caption found = { 0 };
	bool is = captions_find(c, &ids, &found);

	if (is)
		assert_true(found.refined[0] == (float)id);
	caption_finish(&found);
	return is;
}

/* Of captions that are too large together the ones used last stay. */
static void test_captions_are_bounded(void **unused)
{
	struct caption big = { .rows = 1024, .cols = 1024 };
	struct captions c = { 0 };
	unsigned i, n = 0;

	(void)unused;
	big.refined = calloc(1024 * 1024, sizeof *big.refined);
	assert_non_null(big.refined);
	for (i = 1; i <= 40; i++) {
		const struct prompt_ids ids = ids_of(i);

		big.refined[0] = (float)i;
		captions_keep(&c, &ids, &big);
		assert_true(has(&c, 1));
	}
	caption_finish(&big);
	assert_true(has(&c, 40));
	assert_false(has(&c, 2));
	for (i = 1; i <= 40; i++)
		n += has(&c, i);
	assert_in_range(n, 2, 8);
	captions_drop(&c);
	assert_false(has(&c, 40));
}

/* ---- graphs ---- */

static void ignore_tap(void *context, const char *name, const float *data, size_t n)
{
	(void)context;
	(void)name;
	(void)data;
	(void)n;
}

/* Taps keep every intermediate where it is; without them places are shared. */
static void test_places_are_shared(void **unused)
{
	const char *const models[] = { "zimage-b", "klein-b" };
	const struct pipeline_hooks tapped = { .tap = ignore_tap };
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof models / sizeof models[0]; i++) {
		struct buf apart = BUF_INIT(1 << 20), together;
		struct fixture f;
		struct err err;

		fixture_open(&f, vk, golden_path("models/%s", models[i]));
		if (fixture_png(f.pipeline, &request, &tapped, &apart, &err) < 0)
			fail_msg("%s", err.text);
		together = draw(&f, &request, NULL);
		expect_same(&together, &apart);
		fixture_close(&f);
	}
}

static struct pipeline_request of_size(uint32_t width, uint32_t height)
{
	struct pipeline_request r = request;

	r.width = width;
	r.height = height;
	return r;
}

enum { N_SIZES = 3 };
static const uint32_t sides[N_SIZES] = { 96, 64, 128 };

/* The second time round nothing is built or recorded. */
static void test_sizes_in_turn(void **unused)
{
	struct buf first[N_SIZES], again;
	struct graph *step[N_SIZES], *decode[N_SIZES];
	struct pipeline *p;
	struct fixture f;
	uint64_t generation;
	unsigned i;

	(void)unused;
	fixture_open(&f, vk, golden_path("models/zimage-a"));
	p = f.pipeline;
	for (i = 0; i < N_SIZES; i++) {
		struct pipeline_request r = of_size(sides[i], 64);

		first[i] = draw(&f, &r, NULL);
		step[i] = p->step.stage[0]->graph;
		decode[i] = p->decode.stage[0]->graph;
	}
	generation = p->shop.arena.generation;
	for (i = 0; i < N_SIZES; i++) {
		struct pipeline_request r = of_size(sides[i], 64);

		again = draw(&f, &r, NULL);
		assert_ptr_equal(p->step.stage[0]->graph, step[i]);
		assert_ptr_equal(p->decode.stage[0]->graph, decode[i]);
		expect_same(&again, &first[i]);
	}
	assert_int_equal(p->shop.arena.generation, generation);
	fixture_close(&f);
}

/* A larger picture moves the arena: what was recorded before is recorded again. */
static void test_arena_moves(void **unused)
{
	const struct pipeline_request small = of_size(64, 64), large = of_size(256, 192);
	struct buf first, again, other;
	struct fixture f;
	uint64_t generation;

	(void)unused;
	fixture_open(&f, vk, golden_path("models/zimage-a"));
	first = draw(&f, &small, NULL);
	generation = f.pipeline->shop.arena.generation;
	other = draw(&f, &large, NULL);
	assert_int_not_equal(f.pipeline->shop.arena.generation, generation);
	again = draw(&f, &small, NULL);
	expect_same(&again, &first);
	again = draw(&f, &large, NULL);
	expect_same(&again, &other);
	fixture_close(&f);
}

static unsigned kept(const struct stage_set *set)
{
	unsigned n = 0;

	while (n < STAGE_KEPT && set->stage[n])
		n++;
	return n;
}

static void test_graphs_are_bounded(void **unused)
{
	struct fixture f;
	uint32_t side;

	(void)unused;
	fixture_open(&f, vk, golden_path("models/zimage-a"));
	for (side = 64; side < 64 + 8 * 16; side += 16) {
		const struct pipeline_request r = of_size(side, 64);
		struct buf png = draw(&f, &r, NULL);

		buf_finish(&png);
	}
	assert_int_equal(kept(&f.pipeline->step), STAGE_KEPT);
	assert_int_equal(kept(&f.pipeline->decode), STAGE_KEPT);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prompt_is_encoded_once),
		cmocka_unit_test(test_padded_prompts),
		cmocka_unit_test(test_captions_are_bounded),
		cmocka_unit_test(test_places_are_shared),
		cmocka_unit_test(test_sizes_in_turn),
		cmocka_unit_test(test_arena_moves),
		cmocka_unit_test(test_graphs_are_bounded),
	};

	vk = device_open();
	return device_close(&vk, cmocka_run_group_tests(tests, NULL, NULL));
}
