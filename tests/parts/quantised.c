/*
 * Models made in every quantised form, drawn beside the same ones in bf16: what the forms
 * cost is measured, what they save is counted. And the ways such weights may lie in a store.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/vk/testing.h"
#include "tests/golden.h"
#include "tests/ops/vk/device.h"
#include "tests/parts/fixture.h"

static struct vk *vk;

struct drawing {
	struct buf png;
	uint64_t bytes;                         /* of weights */
};

/* Several prompts of a trained model in one number. */
enum { PROMPTS = 3 };
static const char *const prompts[PROMPTS] = { "a white cat", "a sunset over mountains", "a boat with red sails on the sea" };

static struct drawing draw(struct pipeline *p, unsigned prompt, uint32_t side, uint32_t steps)
{
	const struct pipeline_request request = {
		.prompt = prompts[prompt], .width = side, .height = side, .steps = steps, .seed = 2 + prompt,
		.cfg_truncation = 1,
	};
	struct drawing d = { .png = BUF_INIT(16 << 20), .bytes = pipeline_weight_bytes(p) };
	struct err err;

	if (fixture_png(p, &request, NULL, &d.png, &err) < 0)
		fail_msg("%s", err.text);
	return d;
}

static const struct row {
	const char *quantize;
	double psnr, saved;                     /* decibels at least; of the bytes, at least */
} rows[] = {
	{ "fp8", 30, 0.2 }, { "mxfp8", 30, 0.2 }, { "int4", 10, 0.3 }, { "mxfp4", 10, 0.3 }, { "nvfp4", 10, 0.3 },
};

static void check_form(const struct row *row, const struct drawing *want)
{
	struct fixture f;
	double sum = 0, psnr;
	uint64_t bytes = 0;

	fixture_open_quantised(&f, vk, DEMO_MODEL, row->quantize);
	for (unsigned i = 0; i < PROMPTS; i++) {
		struct drawing d = draw(f.pipeline, i, 128, 20);

		sum += fixture_squares(&want[i].png, &d.png) / PROMPTS;
		bytes = d.bytes;
		buf_finish(&d.png);
	}
	psnr = 10 * log10(255.0 * 255.0 / sum);
	printf("# %s: %.1f dB, %llu bytes of weights for %llu\n", row->quantize, psnr, (unsigned long long)bytes,
	       (unsigned long long)want->bytes);
	assert_true(psnr >= row->psnr && isfinite(psnr));
	assert_true((double)bytes <= (1 - row->saved) * (double)want->bytes);
	fixture_close(&f);
}

static void test_forms(void **unused)
{
	struct drawing want[PROMPTS];
	struct fixture f;

	(void)unused;
	fixture_open(&f, vk, DEMO_MODEL);
	for (unsigned i = 0; i < PROMPTS; i++)
		want[i] = draw(f.pipeline, i, 128, 20);
	fixture_close(&f);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		check_form(&rows[i], want);
	for (unsigned i = 0; i < PROMPTS; i++)
		buf_finish(&want[i].png);
}

/* ---- other ways to lie in a store ---- */

/* Copies are read by other kernels, whose sums are rounded otherwise. */
static void expect_alike(struct fixture *f, const struct buf *want, double most)
{
	struct drawing got;
	struct err err;

	pipeline_close(&f->pipeline);
	if (pipeline_open(vk, f->store, f->manifest, &(struct pipeline_loading){ 0 }, &f->pipeline, &err) < 0)
		fail_msg("%s", err.text);
	got = draw(f->pipeline, 0, 64, 2);
	if (fixture_squares(&got.png, want) > most)
		fail_msg("a mean square of %g away", fixture_squares(&got.png, want));
	buf_finish(&got.png);
}

static void add_blob(struct fixture *f, const struct st_entry *e, const void *data, size_t len, const char *name)
{
	struct buf blob = BUF_INIT(64 << 20);
	char digest[DIGEST_SIZE], *header;
	size_t head_len;

	assert_int_equal(safetensors_header(e, 1, NULL, &header, &head_len, NULL), 0);
	buf_append(&blob, header, head_len);
	buf_append(&blob, data, len);
	free(header);
	assert_int_equal(store_blob_add(f->store, blob.data, blob.len, digest, NULL, NULL), 0);
	assert_non_null(manifest_add(f->manifest, MEDIA_TENSOR, digest, blob.len, name));
	buf_finish(&blob);
}

/* A combined blob as the oldest versions stored it: a layer for each array, keyed "data". */
static void split_layer(struct fixture *f, size_t index)
{
	static const struct { const char *in, *out; } arrays[] = { { ".scale", "_scale" }, { ".bias", "_qbias" } };
	char *name = strdup(f->manifest->layers[index].name), path[2048], key[600];
	struct safetensors st;

	store_blob_path(f->store, f->manifest->layers[index].digest, path, sizeof path);
	golden_map(path, &st);
	if (st.metadata) {
		for (size_t i = 0; i < 2; i++) {
			const struct st_tensor *t;

			snprintf(key, sizeof key, "%s%s", name, arrays[i].in);
			t = safetensors_find(&st, key);
			snprintf(key, sizeof key, "%s%s", name, arrays[i].out);
			if (t)
				add_blob(f, &(struct st_entry){ "data", t->dtype, t->rank, t->shape },
					 st.map + st.data_start + t->begin, t->end - t->begin, key);
		}
		const struct st_tensor *t = safetensors_find(&st, name);
		const size_t last = f->manifest->n_layers;

		add_blob(f, &(struct st_entry){ "data", t->dtype, t->rank, t->shape },
			 st.map + st.data_start + t->begin, t->end - t->begin, name);
		strcpy(f->manifest->layers[index].digest, f->manifest->layers[last].digest);
		f->manifest->layers[index].size = f->manifest->layers[last].size;
		free(f->manifest->layers[last].name);
		f->manifest->layers[last].name = strdup("vae/none");
		free(f->manifest->layers[last].media_type);
		f->manifest->layers[last].media_type = strdup(MEDIA_LICENSE);
	}
	safetensors_finish(&st);
	free(name);
}

static void check_ways(const char *golden, const char *quantize)
{
	const struct vk_limits real = *vk_limits(vk);
	struct vk_limits separate = real;
	struct fixture f;
	struct drawing want;
	size_t n;

	fixture_open_quantised(&f, vk, golden_path("models/%s", golden), quantize);
	want = draw(f.pipeline, 0, 64, 2);
	separate.shares_memory = false;
	vk_limits_override(vk, &separate);
	expect_alike(&f, &want.png, 0.01);
	vk_limits_override(vk, &real);
	n = f.manifest->n_layers;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(f.manifest->layers[i].media_type, MEDIA_TENSOR))
			split_layer(&f, i);
	assert_true(f.manifest->n_layers > n);
	expect_alike(&f, &want.png, 0);
	buf_finish(&want.png);
	fixture_close(&f);
}

static void test_any_way_of_storing(void **unused)
{
	static const char *const models[] = { "zimage-wide", "klein-a" };
	static const char *const types[] = { "q8", "q4", "mxfp8", "mxfp4", "nvfp4" };

	(void)unused;
	for (size_t m = 0; m < 2; m++)
		for (size_t i = 0; i < 5; i++)
			check_ways(models[m], types[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_way_of_storing), cmocka_unit_test(test_forms),
	};

	vk = device_open();
	return device_close(&vk, cmocka_run_group_tests(tests, NULL, NULL));
}
