/*
 * Graphs of one kernel, y = x + scale * w, through planning, bands, slices and runs.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/graph/dispatch.h"
#include "runner/graph/graph.h"
#include "runner/vk/testing.h"
#include "shaders/shaders.h"
#include "tests/ops/vk/device.h"

static struct vk *vk;
static const struct kernels kernels;            /* KERNELS_SHUFFLE */
static struct arena arena;
static double flops_of_row = 1;

struct blend {
	uint32_t cols;
	float scale;
};

static double blend_flops(const struct node *n)
{
	(void)n;
	return flops_of_row;
}

static void blend_dispatch(const struct node *n, const struct vk_limits *limits, uint32_t row0, uint32_t rows,
			   struct vk_dispatch *d)
{
	struct blend *p = dispatch_params(d, sizeof *p);

	(void)row0;
	memcpy(p, n->params.bytes, sizeof *p);
	d->shader = SHADER_blend;
	d->spec[d->n_spec++] = d->n_inputs > 1 ? 2 : 0;
	if (d->n_inputs > 1)
		d->inputs[1].format = VK_R32G32_UINT;
	d->groups[0] = (p->cols + limits->subgroup_size - 1) / limits->subgroup_size;
	d->groups[1] = rows;
	d->groups[2] = 1;
}

static struct op_class blend_class = {
	.name = "blend", .row_flops = blend_flops, .kernels = { [KERNELS_SHUFFLE] = { .dispatch = blend_dispatch } },
};

static struct node blend_node(T x, const struct weight *w, float scale)
{
	struct node n = { .op = &blend_class, .in = { x }, .weights = { w } };

	memcpy(n.params.bytes, &(struct blend){ x.cols, scale }, sizeof(struct blend));
	return n;
}

static T blend(struct graph *g, T x, const struct weight *w, float scale)
{
	return graph_add(g, blend_node(x, w, scale), x.rows, x.cols);
}

static bool count_slices(void *context)
{
	++*(unsigned *)context;
	return false;
}

static unsigned run(struct graph *g)
{
	struct err err = { 0 };
	unsigned slices = 0;

	if (graph_run(g, count_slices, &slices, &err) < 0)
		fail_msg("%s", err.text);
	return slices;
}

static void build(struct graph *g)
{
	struct err err = { 0 };

	if (graph_build(g, &arena, &err) < 0)
		fail_msg("%s", err.text);
}

/* 24 words of which word i is i + 1, in a buffer at byte 8. */
static struct weight counting_weight(void)
{
	struct weight w = { .offset = 8, .bytes = 24 * 4, .dtype = DTYPE_F32, .rank = 1, .dim = { 24 } };
	struct err err;

	assert_int_equal(vk_buffer_create(vk, VK_HOST, 8 + 24 * 4, &w.buffer, &err), 0);
	for (int i = 0; i < 24; i++)
		((float *)vk_buffer_map(w.buffer))[2 + i] = (float)(i + 1);
	return w;
}

enum { ROWS = 37, COLS = 23, DEPTH = 12 };

/* Long lives and short ones; an output of two halves: x + sums of w. Tells the number of slices. */
static unsigned run_chain(const struct weight *w, float *y)
{
	struct graph *g = graph_create(vk, kernels);
	float x[ROWS * COLS];
	T input, t, early, target;
	unsigned slices;

	for (int i = 0; i < ROWS * COLS; i++)
		x[i] = (float)(i % 101);
	input = graph_input(g, ROWS, COLS);
	t = early = blend(g, input, w, 1);
	for (int i = 0; i < DEPTH; i++)
		t = blend(g, t, w, (float)i);
	target = graph_tensor(g, 2 * ROWS, COLS);
	graph_add_into(g, blend_node(t, NULL, 0), target, 0, ROWS);
	graph_add_into(g, blend_node(early, w, 2), target, ROWS, ROWS);
	t = blend(g, target, NULL, 0);
	graph_output(g, t);
	build(g);
	graph_write(g, input, x);
	slices = run(g);
	graph_read(g, t, y);
	graph_destroy(&g);
	return slices;
}

static void assert_chain(const float *y)
{
	const int sum = 1 + DEPTH * (DEPTH - 1) / 2;

	for (int i = 0; i < ROWS * COLS; i++) {
		const int c = i % COLS;

		assert_true(y[i] == (float)(i % 101 + sum * (c + 1)));
		assert_true(y[ROWS * COLS + i] == (float)(i % 101 + 3 * (c + 1)));
	}
}

static void test_chain(void **state)
{
	struct weight w = counting_weight();
	float y[2 * ROWS * COLS];

	(void)state;
	assert_in_range(run_chain(&w, y), 1, 2);       /* two when the device compiles as it goes */
	assert_chain(y);
	vk_buffer_destroy(vk, &w.buffer);
}

/* Arena bytes of x + ... + w in so many steps, the second of which two others use, if asked. */
static uint64_t plan_line(bool fork)
{
	struct graph *g = graph_create(vk, kernels);
	T input = graph_input(g, ROWS, 24), t = blend(g, input, NULL, 0), second;
	uint64_t bytes;
	struct err err;

	t = second = blend(g, t, NULL, 0);
	for (int i = 0; i < DEPTH; i++)
		t = blend(g, t, NULL, 0);
	if (fork)
		graph_output(g, blend(g, second, NULL, 0));
	graph_output(g, blend(g, t, NULL, 0));
	if (graph_plan(g, &bytes, &err) < 0)
		fail_msg("%s", err.text);
	graph_destroy(&g);
	return bytes;
}

/* What works element by element takes the place of an input that is not needed again. */
static void test_in_place(void **state)
{
	const uint64_t one = (ROWS * 24 * 4 + 255) / 256 * 256;
	struct weight w = counting_weight();
	float y[2 * ROWS * COLS];

	(void)state;
	assert_int_equal(plan_line(false), 2 * one);
	assert_int_equal(plan_line(true), 3 * one);
	blend_class.in_place = true;
	assert_int_equal(plan_line(false), one);
	assert_int_equal(plan_line(true), 2 * one);
	run_chain(&w, y);
	assert_chain(y);
	blend_class.in_place = false;
	vk_buffer_destroy(vk, &w.buffer);
}

/* The same under every limit that cuts: time, storage range, coarse alignment, and all at once. */
static void test_cuts(void **state)
{
	static const struct {
		uint64_t storage_range, align;
		double flops;
		uint32_t multiple;
		unsigned slices;
	} rows[] = {
		{ 0, 0, 10, 1, 25 }, { 0, 0, 10, 4, 25 }, { 0, 0, 500, 1, 600 }, { 1000, 0, 0, 1, 1 }, { 4096, 0, 0, 8, 1 },
		{ 0, 256, 10, 1, 25 }, { 1000, 256, 10, 1, 25 },
	};
	const struct vk_limits limits = *vk_limits(vk);
	struct weight w = counting_weight();

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct vk_limits l = limits;
		float y[2 * ROWS * COLS];
		unsigned slices;

		if (rows[i].storage_range)
			l.storage_range = rows[i].storage_range;
		if (rows[i].align)
			l.storage_align = l.texel_align = rows[i].align;
		l.flops_per_ms = 1;
		flops_of_row = rows[i].flops;
		blend_class.row_multiple = rows[i].multiple;
		vk_limits_override(vk, &l);
		slices = run_chain(&w, y);
		printf("# cut %zu: %u slices\n", i, slices);
		assert_true(slices >= rows[i].slices);
		assert_chain(y);
	}
	vk_limits_override(vk, &limits);
	flops_of_row = 1;
	blend_class.row_multiple = 0;
	vk_buffer_destroy(vk, &w.buffer);
}

static bool cancel_third(void *context)
{
	return ++*(unsigned *)context == 3;
}

static void test_cancel(void **state)
{
	const struct vk_limits limits = *vk_limits(vk);
	struct vk_limits slow = limits;
	struct graph *g = graph_create(vk, kernels);
	const float x[16] = { 1, 2, 3 };
	float y[16] = { 0 };
	unsigned asked = 0;
	struct err err;
	T input = graph_input(g, 4, 4), t = input;

	(void)state;
	slow.flops_per_ms = 0.01;
	vk_limits_override(vk, &slow);
	for (int i = 0; i < 6; i++)
		t = blend(g, t, NULL, 0);
	graph_output(g, t);
	build(g);
	graph_write(g, input, x);
	assert_int_equal(graph_run(g, cancel_third, &asked, &err), -ECANCELED);
	assert_int_equal(asked, 3);
	assert_true(run(g) >= 6);               /* still good afterwards */
	graph_read(g, t, y);
	assert_memory_equal(x, y, sizeof x);
	graph_destroy(&g);
	vk_limits_override(vk, &limits);
}

static void test_aliases(void **state)
{
	struct graph *g = graph_create(vk, kernels);
	T input = graph_input(g, 1, 24), copy, parts[3];
	float x[24], y[8];

	(void)state;
	for (int i = 0; i < 24; i++)
		x[i] = (float)i;
	copy = blend(g, input, NULL, 0);
	parts[0] = graph_cols(g, copy, 4, 7);
	parts[1] = graph_cols(g, graph_rows(g, graph_reshape(g, copy, 3, 8), 1, 1), 4, 4);
	parts[2] = graph_rows(g, graph_reshape(g, copy, 6, 4), 4, 2);
	for (int i = 0; i < 3; i++) {
		parts[i] = blend(g, parts[i], NULL, 0);
		graph_output(g, parts[i]);
	}
	build(g);
	graph_write(g, input, x);
	run(g);
	graph_read(g, parts[0], y);
	assert_memory_equal(y, x + 4, 7 * sizeof *y);
	graph_read(g, parts[1], y);
	assert_memory_equal(y, x + 12, 4 * sizeof *y);
	graph_read(g, parts[2], y);
	assert_memory_equal(y, x + 16, 8 * sizeof *y);
	graph_destroy(&g);
}

static void test_taps(void **state)
{
	for (int keep = 0; keep < 2; keep++) {
		struct graph *g = graph_create(vk, kernels);
		T input = graph_input(g, 2, 4), t, tapped;
		const float x[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
		float y[8];
		unsigned parts;

		(void)state;
		graph_keep_taps(g, keep);
		t = graph_tap_parts(g, blend(g, input, NULL, 0), 2, "layers.%d", 3);
		for (int i = 0; i < 4; i++)
			t = blend(g, t, NULL, 0);
		graph_output(g, t);
		build(g);
		graph_write(g, input, x);
		run(g);
		if (keep) {
			assert_string_equal(graph_tap_name(g, 0, &tapped, &parts), "layers.3");
			assert_int_equal(parts, 2);
			graph_read(g, tapped, y);
			assert_memory_equal(x, y, sizeof x);
		}
		assert_null(graph_tap_name(g, (size_t)keep, &tapped, &parts));
		graph_destroy(&g);
	}
}

/* A graph recorded for a smaller arena knows that it is stale, and works when built again. */
static void test_arena(void **state)
{
	struct graph *small = graph_create(vk, kernels), *large = graph_create(vk, kernels);
	T in_small = graph_input(small, 2, 4), in_large = graph_input(large, 500, 4000), t;
	const float x[8] = { 8, 7, 6, 5, 4, 3, 2, 1 };
	uint64_t bytes = 0;
	struct err err;
	float y[8];

	(void)state;
	arena_finish(vk, &arena);
	t = blend(small, blend(small, in_small, NULL, 0), NULL, 0);
	graph_output(small, t);
	graph_output(large, blend(large, blend(large, in_large, NULL, 0), NULL, 0));
	assert_true(graph_stale(small, &arena));
	build(small);
	assert_false(graph_stale(small, &arena));
	assert_int_equal(graph_plan(large, &bytes, &err), 0);
	assert_true(bytes >= 500 * 4000 * 4 && bytes < 501 * 4000 * 4);
	build(large);
	assert_true(graph_stale(small, &arena));
	build(small);
	graph_write(small, in_small, x);
	run(small);
	graph_read(small, t, y);
	assert_memory_equal(x, y, sizeof x);
	graph_destroy(&small);
	graph_destroy(&large);
}

static void test_arena_limit(void **state)
{
	const struct vk_limits limits = *vk_limits(vk);
	struct vk_limits tiny = limits;
	struct graph *g = graph_create(vk, kernels);
	struct err err;

	(void)state;
	arena_finish(vk, &arena);
	tiny.arena_size = 1000;
	vk_limits_override(vk, &tiny);
	graph_output(g, blend(g, blend(g, graph_input(g, 100, 4), NULL, 0), NULL, 0));
	assert_int_equal(graph_build(g, &arena, &err), -ENOMEM);
	assert_non_null(strstr(err.text, "1792"));
	assert_int_equal(graph_run(g, NULL, NULL, &err), -EINVAL);
	graph_destroy(&g);
	vk_limits_override(vk, &limits);
}

static void expect_error(struct graph *g, const char *text)
{
	struct err err = { 0 };

	assert_int_equal(graph_build(g, &arena, &err), -EINVAL);
	if (!strstr(err.text, text))
		fail_msg("'%s' does not say '%s'", err.text, text);
	graph_destroy(&g);
}

static void test_errors(void **state)
{
	const struct vk_limits limits = *vk_limits(vk);
	struct vk_limits few = limits;
	struct graph *g;

	(void)state;
	g = graph_create(vk, kernels);
	graph_require(g, false, "first %d", 1);
	graph_require(g, false, "second");
	graph_output(g, blend(g, graph_input(g, 1, 4), NULL, 0));
	expect_error(g, "first 1");

	g = graph_create(vk, kernels);
	blend(g, graph_tensor(g, 1, 4), NULL, 0);
	expect_error(g, "never written");

	g = graph_create(vk, kernels);
	graph_rows(g, graph_input(g, 3, 4), 2, 2);
	expect_error(g, "rows 2 to 4");

	g = graph_create(vk, kernels);
	graph_cols(g, graph_input(g, 1, 8), 2, 4);
	expect_error(g, "columns 2 to 6");

	g = graph_create(vk, kernels);
	graph_reshape(g, graph_input(g, 2, 6), 3, 4);
	expect_error(g, "reshaped");

	g = graph_create(vk, kernels);
	graph_tensor(g, 0, 4);
	expect_error(g, "0 x 4");

	g = graph_create(vk, kernels);
	graph_tensor(g, UINT32_MAX, UINT32_MAX);
	expect_error(g, "cannot be made");

	g = graph_create(vk, kernels);
	graph_add_into(g, blend_node((T){ 0 }, NULL, 0), graph_input(g, 2, 4), 0, 1);
	expect_error(g, "input");

	few.texel_elements = 10;
	vk_limits_override(vk, &few);
	g = graph_create(vk, kernels);
	graph_output(g, blend(g, graph_input(g, 11, 4), NULL, 0));
	expect_error(g, "blend (node 0)");
	few = limits;
	few.storage_range = 100;
	vk_limits_override(vk, &few);
	g = graph_create(vk, kernels);
	graph_output(g, blend(g, graph_input(g, 11, 40), NULL, 0));
	expect_error(g, "cannot be bound");
	vk_limits_override(vk, &limits);
}

/* What 4096 nodes cost to build, to see that planning and recording stay cheap. */
static void test_many_nodes(void **state)
{
	struct graph *g = graph_create(vk, kernels);
	const float x[4] = { 0, 1, 2, 3 };
	T input = graph_input(g, 1, 4), t = input;
	float y[4];

	(void)state;
	for (int i = 0; i < 4096; i++)
		t = blend(g, t, NULL, 0);
	graph_output(g, t);
	build(g);
	graph_write(g, input, x);
	run(g);
	graph_read(g, t, y);
	assert_memory_equal(x, y, sizeof x);
	graph_destroy(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_in_place),
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_taps),
		cmocka_unit_test(test_arena),
		cmocka_unit_test(test_arena_limit),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_many_nodes),
	};
	int r;

	vk = device_open();
	r = cmocka_run_group_tests(tests, NULL, NULL);
	arena_finish(vk, &arena);
	return device_close(&vk, r);
}
