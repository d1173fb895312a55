/*
 * However the weights reach the device, the picture is the same: read in place, copied
 * because the device cannot, copied because they lie at an odd address.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/pipeline_private.h"
#include "runner/vk/testing.h"
#include "tests/golden.h"
#include "tests/ops/vk/device.h"
#include "tests/parts/fixture.h"
#include "tests/temp.h"

#define PROMPT "a small cat"

static struct vk *vk;

static struct buf draw(struct fixture *f)
{
	const struct pipeline_request request = {
		.prompt = PROMPT, .width = 64, .height = 64, .steps = 1, .seed = 3,
		.cfg_truncation = 1,
	};
	struct buf png = BUF_INIT(1 << 20);
	struct err err;

	if (fixture_png(f->pipeline, &request, NULL, &png, &err) < 0)
		fail_msg("%s", err.text);
	return png;
}

static void open_model(struct fixture *f)
{
	const struct pipeline_loading loading = { .prompt = PROMPT };
	struct err err;

	if (pipeline_open(vk, f->store, f->manifest, &loading, &f->pipeline, &err) < 0)
		fail_msg("%s", err.text);
}

/* Where weights are copied, loading encodes the first prompt on the way. */
static void expect_same(struct fixture *f, const struct buf *want)
{
	struct buf got;

	pipeline_close(&f->pipeline);
	open_model(f);
	assert_true(!f->pipeline->captions.first == vk_limits(vk)->shares_memory);
	got = draw(f);
	assert_int_equal(got.len, want->len);
	assert_memory_equal(got.data, want->data, got.len);
	buf_finish(&got);
}

/* The blob again, its data `odd` bytes beyond a multiple of eight. */
static void shift_blob(struct fixture *f, struct layer *layer, unsigned odd)
{
	struct safetensors st;
	struct err err;
	struct buf blob = BUF_INIT(64 << 20);
	const struct st_tensor *t;
	uint64_t head_len;
	char path[2048];

	store_blob_path(f->store, layer->digest, path, sizeof path);
	golden_map(path, &st);
	t = safetensors_pick(&st, layer->name);
	assert_non_null(t);
	head_len = (st.data_start + 7) / 8 * 8 + odd - sizeof head_len;
	buf_append(&blob, &head_len, sizeof head_len);
	buf_append(&blob, st.map + sizeof head_len, st.data_start - sizeof head_len);
	while (blob.len < head_len + sizeof head_len)
		buf_puts(&blob, " ");
	buf_append(&blob, st.map + st.data_start, st.file_size - st.data_start);
	assert_false(buf_failed(&blob));
	assert_int_equal(store_blob_add(f->store, blob.data, blob.len, layer->digest, NULL, &err), 0);
	layer->size = blob.len;
	buf_finish(&blob);
	safetensors_finish(&st);
}

static void any_way_of_loading(const char *kernels, bool may_copy)
{
	const struct vk_limits real = *vk_limits(vk);
	struct vk_limits separate = real;
	struct fixture f;
	struct buf want;
	size_t i;

	setenv("EASEL_KERNELS", kernels, 1);
	fixture_open(&f, vk, golden_path("models/zimage-wide"));
	want = draw(&f);
	if (may_copy) {
		separate.shares_memory = false;
		vk_limits_override(vk, &separate);
		expect_same(&f, &want);
		vk_limits_override(vk, &real);
	}

	for (i = 0; i < f.manifest->n_layers; i++)
		if (!strcmp(f.manifest->layers[i].media_type, MEDIA_TENSOR))
			shift_blob(&f, &f.manifest->layers[i], i % 8);
	expect_same(&f, &want);
	buf_finish(&want);
	fixture_close(&f);
	unsetenv("EASEL_KERNELS");
}

static void test_shaders(void **unused)
{
	(void)unused;
	any_way_of_loading("shuffle", true);
}

/* Host kernels compute where the weights lie: they have no other way. */
static void test_host(void **unused)
{
	(void)unused;
	if (!vk_limits(vk)->shares_memory)
		skip();
	any_way_of_loading("host", false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shaders), cmocka_unit_test(test_host),
	};

	vk = device_open();
	return device_close(&vk, cmocka_run_group_tests(tests, NULL, NULL));
}
