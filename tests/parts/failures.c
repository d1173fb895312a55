/*
 * What goes wrong while drawing: bad requests, cancel, numbers that are not finite,
 * blobs that vanish. Each has its error, and the next picture is right again.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/golden.h"
#include "tests/ops/vk/device.h"
#include "tests/parts/fixture.h"
#include "tests/temp.h"

static struct vk *vk;

static const struct pipeline_request request = {
	.prompt = "cat", .width = 64, .height = 64, .steps = 2, .seed = 42, .cfg_truncation = 1,
};

static int draw(struct fixture *f, const struct pipeline_request *r,
		const struct pipeline_hooks *hooks, struct buf *png, struct err *err)
{
	*png = (struct buf)BUF_INIT(1 << 20);
	*err = (struct err){ 0 };
	return fixture_png(f->pipeline, r, hooks, png, err);
}

static void expect_picture(struct fixture *f, const struct buf *want)
{
	struct buf png;
	struct err err;

	if (draw(f, &request, NULL, &png, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(png.len, want->len);
	assert_memory_equal(png.data, want->data, png.len);
	buf_finish(&png);
}

static void test_bad_requests(void **unused)
{
	static const struct { uint32_t width, height, steps; const char *says; } cases[] = {
		{ 100, 64, 2, "100x64" }, { 64, 0, 2, "64x0" }, { 64, 8192, 2, "4096" },
		{ 64, 64, 0, "steps" }, { 64, 64, 100000, "steps" },
	};
	struct fixture f;
	size_t i;

	(void)unused;
	fixture_open(&f, vk, golden_path("models/zimage-a"));
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct pipeline_request r = request;
		struct buf png;
		struct err err;

		r.width = cases[i].width;
		r.height = cases[i].height;
		r.steps = cases[i].steps;
		assert_int_equal(draw(&f, &r, NULL, &png, &err), -EINVAL);
		assert_non_null(strstr(err.text, cases[i].says));
		buf_finish(&png);
	}
	fixture_close(&f);
}

static bool countdown(void *context)
{
	int *left = context;

	return (*left)-- <= 0;
}

/* At every point where it is asked; the picture after it is untouched. */
static void test_cancel_anywhere(void **unused)
{
	struct buf want, png;
	struct fixture f;
	struct err err;
	int after, asked;

	(void)unused;
	fixture_open(&f, vk, golden_path("models/zimage-a"));
	assert_int_equal(draw(&f, &request, NULL, &want, &err), 0);
	for (after = 0; ; after++) {
		struct pipeline_hooks hooks = { .context = &asked, .cancelled = countdown };

		asked = after;
		if (draw(&f, &request, &hooks, &png, &err) == 0)
			break;
		assert_int_equal(err.code, -ECANCELED);
		assert_int_equal(png.len, 0);
		buf_finish(&png);
	}
	buf_finish(&png);
	assert_true(after >= 4);                /* text, caption, two steps, decoder */
	expect_picture(&f, &want);
	buf_finish(&want);
	fixture_close(&f);
}

/* A copy of zimage-a in which all of one tensor is NaN (bfloat16). */
static char *damaged_model(const char *component, const char *file, const char *tensor)
{
	char *folder = temp_create(), command[4096], path[2048];
	struct safetensors st;
	const struct st_tensor *t;
	FILE *out;
	size_t i;

	snprintf(command, sizeof command, "cp -r '%s'/. '%s'", golden_path("models/zimage-a"),
		 folder);
	assert_int_equal(system(command), 0);
	snprintf(path, sizeof path, "%s/%s/%s", folder, component, file);
	golden_map(path, &st);
	t = safetensors_find(&st, tensor);
	assert_non_null(t);
	out = fopen(path, "r+b");
	assert_non_null(out);
	assert_int_equal(fseek(out, (long)(st.data_start + t->begin), SEEK_SET), 0);
	for (i = t->begin; i < t->end; i += 2)
		assert_int_equal(fwrite("\xc0\x7f", 1, 2, out), 2);
	assert_int_equal(fclose(out), 0);
	safetensors_finish(&st);
	return folder;
}

static void test_nan_weights(void **unused)
{
	static const struct { const char *component, *file, *tensor, *says; } cases[] = {
		{ "text_encoder", "model.safetensors", "model.layers.0.input_layernorm.weight",
		 "text encoder" },
		{ "transformer", "diffusion_pytorch_model.safetensors", "layers.0.ffn_norm1.weight",
		 "transformer" },
		{ "vae", "diffusion_pytorch_model.safetensors", "decoder.conv_out.bias",
		 "decoder" }, };
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char *folder = damaged_model(cases[i].component, cases[i].file, cases[i].tensor);
		struct fixture f;
		struct buf png;
		struct err err;

		fixture_open(&f, vk, folder);
		assert_int_equal(draw(&f, &request, NULL, &png, &err), -EDOM);
		assert_non_null(strstr(err.text, cases[i].says));
		assert_non_null(strstr(err.text, "not finite"));
		assert_int_equal(png.len, 0);
		buf_finish(&png);
		fixture_close(&f);
		temp_remove(folder);
	}
}

static const struct layer *largest_tensor(const struct manifest *m)
{
	const struct layer *largest = NULL;
	size_t i;

	for (i = 0; i < m->n_layers; i++)
		if (!strcmp(m->layers[i].media_type, MEDIA_TENSOR) &&
		    (!largest || m->layers[i].size > largest->size))
			largest = &m->layers[i];
	return largest;
}

static void test_blob_deleted_then_truncated(void **unused)
{
	char path[2048];
	const struct layer *layer;
	struct buf want, png;
	struct fixture f;
	struct err err;

	(void)unused;
	fixture_open(&f, vk, golden_path("models/zimage-a"));
	assert_int_equal(draw(&f, &request, NULL, &want, &err), 0);
	layer = largest_tensor(f.manifest);
	store_blob_path(f.store, layer->digest, path, sizeof path);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(draw(&f, &request, NULL, &png, &err), -EIO);
	assert_non_null(strstr(err.text, layer->digest));
	buf_finish(&png);
	fixture_close(&f);

	fixture_open(&f, vk, golden_path("models/zimage-a"));
	store_blob_path(f.store, largest_tensor(f.manifest)->digest, path, sizeof path);
	assert_int_equal(unlink(path), 0);
	expect_picture(&f, &want);              /* it is still mapped */
	buf_finish(&want);
	fixture_close(&f);
}

static void test_prompt_of_a_megabyte(void **unused)
{
	size_t n = 1 << 20;
	char *prompt = malloc(n + 1);
	struct pipeline_request r = request;
	struct fixture f;
	struct buf png;
	struct err err;

	(void)unused;
	assert_non_null(prompt);
	memset(prompt, 'a', n);
	prompt[n] = 0;
	r.prompt = prompt;
	fixture_open(&f, vk, golden_path("models/zimage-a"));
	if (draw(&f, &r, NULL, &png, &err) < 0)
		fail_msg("%s", err.text);
	buf_finish(&png);
	fixture_close(&f);
	free(prompt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_cancel_anywhere),
		cmocka_unit_test(test_nan_weights),
		cmocka_unit_test(test_blob_deleted_then_truncated),
		cmocka_unit_test(test_prompt_of_a_megabyte),
	};

	vk = device_open();
	return device_close(&vk, cmocka_run_group_tests(tests, NULL, NULL));
}
