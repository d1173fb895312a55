/*
 * The device: listing, memory in all its forms, a kernel, refusals.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "runner/graph/dispatch.h"
#include "runner/vk/testing.h"
#include "shaders/shaders.h"
#include "tests/ops/vk/device.h"

enum { COLS = 64, PAGE = 4096 };

static struct vk *vk;

static struct vk_buffer *buffer(enum vk_place place, uint64_t size)
{
	struct vk_buffer *b = NULL;
	struct err err;

	assert_int_equal(vk_buffer_create(vk, place, size, &b, &err), 0);
	return b;
}

/* y = 0 + 1 * w through the kernel, w in texels of that format at that offset of b. */
static int read_back(struct vk_buffer *b, enum vk_format format, uint64_t offset, float *y, struct err *err)
{
	struct vk_buffer *x = buffer(VK_HOST, COLS * 4), *out = buffer(VK_HOST, COLS * 4);
	const uint64_t before = offset % vk_limits(vk)->texel_align;
	const unsigned texel = vk_format_bytes(format);
	const uint32_t subgroup = vk_limits(vk)->subgroup_size;
	struct push_head head = { .rows = 1, .in_base = { 0, (uint32_t)(before / texel) } };
	const struct { uint32_t cols; float scale; } params = { COLS, 1 };
	struct vk_dispatch d = {
		.shader = SHADER_blend, .spec = { subgroup, texel / 4 }, .n_spec = 2, .n_inputs = 2,
		.inputs = {
			{ VK_R32G32B32A32_FLOAT, x, 0, COLS * 4 },
			{ format, b, offset - before, COLS * 4 + before },
		},
		.out = out, .out_bytes = COLS * 4, .push_bytes = sizeof head + sizeof params,
		.groups = { (COLS + subgroup - 1) / subgroup, 1, 1 },
	};
	struct vk_cmd *cmd = NULL;
	int r;

	memset(vk_buffer_map(x), 0, COLS * 4);
	memcpy(d.push, &head, sizeof head);
	memcpy(d.push + sizeof head, &params, sizeof params);
	assert_int_equal(vk_cmd_begin(vk, &cmd, err), 0);
	r = vk_cmd_dispatch(cmd, &d, err);
	vk_cmd_host_barrier(cmd);
	if (r == 0)
		assert_int_equal(vk_cmd_end(cmd, err), 0);
	if (r == 0)
		r = vk_submit(vk, cmd, err);
	memcpy(y, vk_buffer_map(out), COLS * 4);
	vk_cmd_destroy(vk, &cmd);
	vk_buffer_destroy(vk, &x);
	vk_buffer_destroy(vk, &out);
	return r;
}

static void assert_counts(const float *y, float first)
{
	for (int i = 0; i < COLS; i++)
		assert_true(y[i] == first + (float)i);
}

static void test_list(void **state)
{
	struct vk_device_info *list = NULL;
	struct err err;
	size_t n = 0;

	(void)state;
	assert_int_equal(vk_list(&list, &n, &err), 0);
	assert_true(n > 0);
	for (size_t i = 0; i < n; i++) {
		printf("# %u %s, %s, %s, %llu of %llu MiB free %s\n", list[i].index, list[i].name, list[i].driver,
		       vk_type_name(list[i].type), (unsigned long long)list[i].memory_available >> 20,
		       (unsigned long long)list[i].memory_total >> 20, list[i].missing);
		assert_true(list[i].name[0] && list[i].memory_total);
		assert_int_equal(list[i].usable, !list[i].missing[0]);
	}
	free(list);
}

static void test_visible_devices(void **state)
{
	struct vk_device_info *list = NULL;
	struct err err;
	size_t n = 1;

	(void)state;
	setenv("GGML_VK_VISIBLE_DEVICES", "98, 99", 1);
	assert_int_equal(vk_list(&list, &n, &err), 0);
	assert_int_equal(n, 0);
	free(list);
	unsetenv("GGML_VK_VISIBLE_DEVICES");
}

static void test_unknown_device(void **state)
{
	struct vk *other = NULL;
	struct err err;

	(void)state;
	assert_int_equal(vk_open("no such card", &other, &err), -ENODEV);
	assert_non_null(strstr(err.text, vk_info(vk)->name));
	assert_null(other);
}

static void test_upload(void **state)
{
	static float values[COLS];
	const struct vk_limits limits = *vk_limits(vk);
	struct vk_limits distant = limits;

	(void)state;
	distant.shares_memory = false;          /* buffers stay unmapped: the staging ring is used */
	for (int i = 0; i < COLS; i++)
		values[i] = (float)i + 7;
	for (int pass = 0; pass < 2; pass++) {
		struct vk_buffer *b;
		float y[COLS];
		struct err err;

		vk_limits_override(vk, pass ? &limits : &distant);
		b = buffer(VK_DEVICE, 4096);
		assert_true(pass || !vk_buffer_map(b));
		assert_int_equal(vk_upload(vk, b, 1024, values, sizeof values, &err), 0);
		assert_int_equal(vk_upload_finish(vk, &err), 0);
		assert_int_equal(read_back(b, VK_R32_UINT, 1024, y, &err), 0);
		assert_counts(y, 7);
		assert_int_equal(vk_upload(vk, b, 4000, values, sizeof values, &err), -EINVAL);
		vk_buffer_destroy(vk, &b);
	}
	vk_limits_override(vk, &limits);
}

static void test_upload_large(void **state)
{
	const struct vk_limits limits = *vk_limits(vk);
	struct vk_limits distant = limits;
	const uint64_t bytes = (UINT64_C(40) << 20) + 256;
	float *values = malloc(bytes), y[COLS];
	struct vk_buffer *b;
	struct err err;

	(void)state;
	assert_non_null(values);
	for (uint64_t i = 0; i < bytes / 4; i++)
		values[i] = (float)(i % (1 << 20));
	distant.shares_memory = false;
	vk_limits_override(vk, &distant);
	b = buffer(VK_DEVICE, bytes);
	assert_int_equal(vk_upload(vk, b, 0, values, bytes, &err), 0);
	assert_int_equal(vk_upload_finish(vk, &err), 0);
	for (uint64_t at = 0; at < bytes; at += 8 << 20) {
		assert_int_equal(read_back(b, VK_R32G32B32A32_UINT, at, y, &err), 0);
		assert_counts(y, (float)(at / 4 % (1 << 20)));
	}
	vk_buffer_destroy(vk, &b);
	vk_limits_override(vk, &limits);
	free(values);
}

static void test_import(void **state)
{
	/* Formats at addresses that are multiples of their texel and of nothing more. */
	static const struct { enum vk_format format; uint64_t offset; } rows[] = {
		{ VK_R32_UINT, 4 }, { VK_R32_UINT, 8 + 4096 }, { VK_R32G32_UINT, 88 }, { VK_R32G32_UINT, 8192 },
		{ VK_R32G32B32A32_UINT, 16 }, { VK_R32G32B32A32_UINT, 4096 + 48 },
	};
	const size_t bytes = 3 * PAGE + 1000;
	struct vk_buffer *b = NULL;
	struct err err;
	float *pages, y[COLS];
	int r;

	(void)state;
	pages = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(pages, MAP_FAILED);
	for (size_t i = 0; i < bytes / 4; i++)
		pages[i] = (float)i;
	assert_int_equal(mprotect(pages, 4 * PAGE, PROT_READ), 0);
	r = vk_buffer_import(vk, pages, bytes, &b, &err);
	if (r == -ENOTSUP && !vk_limits(vk)->shares_memory) {
		munmap(pages, 4 * PAGE);
		skip();
	}
	assert_int_equal(r, 0);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(read_back(b, rows[i].format, rows[i].offset, y, &err), 0);
		assert_counts(y, (float)(rows[i].offset / 4));
	}
	vk_buffer_destroy(vk, &b);
	assert_int_equal(vk_buffer_import(vk, pages + 1, PAGE, &b, &err), -ENOTSUP);
	munmap(pages, 4 * PAGE);
}

static void test_refusals(void **state)
{
	const struct vk_limits limits = *vk_limits(vk);
	struct vk_limits small = limits;
	struct vk_buffer *b = NULL;
	struct err err;
	float y[COLS];

	(void)state;
	assert_int_equal(vk_buffer_create(vk, VK_DEVICE, limits.buffer_size + 1, &b, &err), -ENOMEM);
	assert_non_null(strstr(err.text, "limit"));
	assert_int_equal(vk_buffer_create(vk, VK_DEVICE, 0, &b, &err), -EINVAL);
	assert_null(b);

	b = buffer(VK_HOST, 1024);
	assert_int_equal(read_back(b, VK_R32_UINT, 1024 - COLS * 4 + 16, y, &err), -EINVAL);    /* past the end */
	small.texel_elements = COLS - 1;
	vk_limits_override(vk, &small);
	assert_int_equal(read_back(b, VK_R32_UINT, 0, y, &err), -EINVAL);
	assert_non_null(strstr(err.text, "texels"));
	vk_limits_override(vk, &limits);
	vk_buffer_destroy(vk, &b);
}

/* Views of one kind for the software device, inside the buffer; nothing changes elsewhere. */
static void test_input_bytes(void **state)
{
	static const uint64_t sizes[] = { 16, 1024, 1 << 16, (1 << 16) + 256, 5 << 20 };
	struct vk_buffer *b = buffer(VK_DEVICE, 5 << 20);
	size_t i;

	(void)state;
	for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		const struct vk_input in = { VK_R32G32B32A32_UINT, b, 0, sizes[i] };
		const uint64_t bytes = vk_input_bytes(vk, &in);

		assert_in_range(bytes, sizes[i], sizes[i] + 256);
		assert_int_equal(bytes % 16, 0);
		if (vk_info(vk)->type == VK_SOFTWARE)
			assert_true(bytes & 0xff00);
		else
			assert_int_equal(bytes, sizes[i]);
	}
	vk_buffer_destroy(vk, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_visible_devices),
		cmocka_unit_test(test_unknown_device),
		cmocka_unit_test(test_upload),
		cmocka_unit_test(test_upload_large),
		cmocka_unit_test(test_import),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_input_bytes),
	};

	vk = device_open();
	return device_close(&vk, cmocka_run_group_tests(tests, NULL, NULL));
}
