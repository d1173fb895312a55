/*
 * Encoder and decoder against recorded stages, both ways in tiles when the device has too
 * little room for the whole, and models that bring no encoder.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/noise.h"
#include "runner/pipeline_private.h"
#include "runner/vk/testing.h"
#include "tests/golden.h"
#include "tests/ops/vk/device.h"
#include "tests/parts/fixture.h"

enum { RGB = 3, EIGHTH = 8 };

#define DECODE_BOUND 5e-5
/* Flat colours leave groups of almost no variance: float32 itself is off by 4e-4. */
#define ENCODE_BOUND 3e-3

static struct vk *vk;

/* ---- the VAE of a model alone, in a pipeline that has nothing else ---- */

struct model {
	struct pipeline p;
	struct family family;
	struct safetensors st;
	struct taps taps;
};

static void on_tap(void *context, const char *name, const float *data, size_t n)
{
	taps_add(context, name, data, n);
}

static const struct vae_class *class_of(const char *name)
{
	return strncmp(name, "klein", 5) ? &autoencoder_kl : &autoencoder_kl_flux2;
}

/* All tensors but those whose names start with one of `without` (ends with NULL). */
static void offer_tensors(struct weights *w, const struct safetensors *st,
			  const char *const *without)
{
	struct err err;
	size_t i, j;

	for (i = 0; i < st->n_tensors; i++) {
		const struct st_tensor *t = &st->tensors[i];
		struct weights_source source = {
			.dtype = t->dtype, .rank = t->rank, .array.bytes = t->end - t->begin,
			.array.data = st->map + st->data_start + t->begin,
		};
		char name[256];

		for (j = 0; without && without[j]; j++)
			if (!strncmp(t->name, without[j], strlen(without[j])))
				break;
		if (without && without[j])
			continue;
		snprintf(name, sizeof name, "vae/%s", t->name);
		source.name = name;
		memcpy(source.shape, t->shape, sizeof source.shape);
		assert_int_equal(weights_offer(w, &source, &err), 0);
	}
}

/* What weights_check() says. */
static int model_bind(struct model *m, const char *name, const char *const *without,
		      struct err *err)
{
	json_t *config = golden_json(golden_path("models/%s/vae/config.json", name));
	const struct vae_class *vae = class_of(name);

	*m = (struct model){ .family = { .vae = vae } };
	m->p.shop.vk = vk;
	m->p.parts.family = &m->family;
	if (vae->create(config, &m->p.parts.vae, err) < 0)
		fail_msg("%s: %s", name, err->text);
	json_decref(config);
	golden_map(golden_path("models/%s/vae/diffusion_pytorch_model.safetensors", name), &m->st);
	m->p.weights = weights_create();
	assert_non_null(m->p.weights);
	offer_tensors(m->p.weights, &m->st, without);
	vae->bind(m->p.parts.vae, m->p.weights);
	return weights_check(m->p.weights, err);
}

static void model_open(struct model *m, const char *name, const char *const *without)
{
	struct err err;

	if (model_bind(m, name, without, &err) < 0 ||
	    weights_load(m->p.weights, vk, WEIGHTS_PICTURE, NULL, NULL, &err) < 0)
		fail_msg("%s: %s", name, err.text);
}

static void model_close(struct model *m)
{
	stage_set_drop(&m->p.decode);
	stage_set_drop(&m->p.encode);
	arena_finish(vk, &m->p.shop.arena);
	weights_close(vk, &m->p.weights);
	m->family.vae->free(m->p.parts.vae);
	safetensors_finish(&m->st);
	taps_free(&m->taps);
}

static float *floats(size_t n)
{
	float *x = calloc(n, sizeof *x);

	assert_non_null(x);
	return x;
}

static size_t latent_numbers(const struct model *m, uint32_t h, uint32_t w)
{
	return (size_t)m->family.vae->latent_channels(m->p.parts.vae) * h * w;
}

/* The caller's to free, as what the other way gives. */
static float *decode(struct model *m, const float *latent, uint32_t h, uint32_t w)
{
	const uint32_t scale = m->family.vae->scale;
	float *pixels = floats((size_t)h * scale * w * scale * RGB);
	struct err err;

	if (decode_latent(&m->p, latent, h, w, pixels, &err) < 0)
		fail_msg("%s", err.text);
	return pixels;
}

static float *encode(struct model *m, const float *pixels, uint32_t h, uint32_t w,
		     const float *noise)
{
	float *latent = floats(latent_numbers(m, h, w));
	struct err err;

	if (encode_picture(&m->p, pixels, h, w, noise, latent, &err) < 0)
		fail_msg("%s", err.text);
	return latent;
}

/* ---- what was recorded, as [1, channels, h, w] ---- */

/* [channels, n] -> [n, channels], the caller's to free. */
static float *to_rows(const float *planes, size_t channels, size_t n)
{
	float *rows = floats(channels * n);
	size_t i, c;

	for (c = 0; c < channels; c++)
		for (i = 0; i < n; i++)
			rows[i * channels + c] = planes[c * n + i];
	return rows;
}

/* cols of rows [n, width] from column first on. */
static float *columns(const float *rows, size_t n, size_t width, size_t first, size_t cols)
{
	float *part = floats(n * cols);
	size_t i;

	for (i = 0; i < n; i++)
		memcpy(part + i * cols, rows + i * width + first, cols * sizeof *part);
	return part;
}

static void expect_planes(const struct safetensors *st, const char *name, const float *rows,
			  double bound)
{
	const struct st_tensor *t = safetensors_find(st, name);
	size_t n, channels = (size_t)t->shape[1];
	const float *planes = golden_floats(st, name, &n);
	float *want = to_rows(planes, channels, n / channels);
	double off = max_difference(rows, want, n);

	if (!(off <= bound * fmax(1, rms(want, n))))
		fail_msg("%s is off by %g", name, off);
	free(want);
}

static void expect_tap(const struct model *m, const struct safetensors *st, const char *name,
		       double bound)
{
	const struct st_tensor *t = safetensors_find(st, name);
	const struct tap *tap;
	char tapped[128];

	snprintf(tapped, sizeof tapped, "vae.%s", name);
	tap = taps_find(&m->taps, tapped);
	if (!tap || tap->n != st_tensor_elements(t))
		fail_msg("%s was not tapped or has another size", name);
	expect_planes(st, name, tap->data, bound);
}

/* mean and logvar are the halves of the moments. */
static void expect_moments(const struct model *m, const struct safetensors *st, double bound)
{
	const struct st_tensor *mean = safetensors_find(st, "mean");
	const struct tap *tap = taps_find(&m->taps, "vae_moments");
	size_t channels = (size_t)mean->shape[1], n = st_tensor_elements(mean) / channels;
	float *half;

	assert_non_null(tap);
	assert_int_equal(tap->n, 2 * n * channels);
	half = columns(tap->data, n, 2 * channels, 0, channels);
	expect_planes(st, "mean", half, bound);
	free(half);
	half = columns(tap->data, n, 2 * channels, channels, channels);
	expect_planes(st, "logvar", half, bound);
	free(half);
}

/* The sampler's latent of these values, worked out apart from the code under test. */
static float *scaled(const char *name, const float *z, size_t n)
{
	json_t *config = golden_json(golden_path("models/%s/vae/config.json", name));
	double scaling = json_number_value(json_object_get(config, "scaling_factor"));
	double shift = json_number_value(json_object_get(config, "shift_factor"));
	float *latent = floats(n);
	size_t i;

	for (i = 0; i < n; i++)
		latent[i] = (float)((z[i] - shift) * scaling);
	json_decref(config);
	return latent;
}

static double statistic(const struct safetensors *st, const char *name, size_t k)
{
	const struct st_tensor *t = safetensors_find(st, name);
	float value;

	dtype_to_f32(t->dtype, st->map + st->data_start + t->begin + k * dtype_size(t->dtype),
		     &value, 1);
	return value;
}

/* z [channels, h, w] of eighths -> [4 * channels, h / 2, w / 2]. */
static float *packed(const struct model *m, const float *z, size_t channels, size_t h, size_t w)
{
	float *latent = floats(channels * h * w);
	size_t c, y, x;

	for (c = 0; c < channels; c++)
		for (y = 0; y < h; y++)
			for (x = 0; x < w; x++) {
				size_t k = c * 4 + y % 2 * 2 + x % 2;
				double mean = statistic(&m->st, "bn.running_mean", k);
				double var = statistic(&m->st, "bn.running_var", k);

				latent[(k * (h / 2) + y / 2) * (w / 2) + x / 2] = (float)
					((z[(c * h + y) * w + x] - mean) / sqrt(var + 1e-4));
			}
	return latent;
}

static float *sampler_latent(const struct model *m, const char *name, const float *z,
			     const struct st_tensor *t)
{
	if (class_of(name) == &autoencoder_kl)
		return scaled(name, z, st_tensor_elements(t));
	return packed(m, z, (size_t)t->shape[1], (size_t)t->shape[2], (size_t)t->shape[3]);
}

/* ---- recorded runs ---- */

/* A recorded picture and its size in positions of the sampler's latent. */
struct recording {
	struct safetensors st;
	const struct st_tensor *mean_tensor;
	const float *mean;
	uint32_t h, w;
	size_t n;                               /* of mean, and of the sampler's latent */
};

static void recording_open(struct recording *r, const struct model *m, const char *path)
{
	const uint32_t pack = m->family.vae->scale / EIGHTH;

	golden_map(path, &r->st);
	r->mean_tensor = safetensors_find(&r->st, "mean");
	r->mean = golden_floats(&r->st, "mean", &r->n);
	assert_non_null(r->mean);
	r->h = (uint32_t)r->mean_tensor->shape[2] / pack;
	r->w = (uint32_t)r->mean_tensor->shape[3] / pack;
}

static float *recorded_pixels(const struct recording *r)
{
	size_t n;
	const float *planes = golden_floats(&r->st, "pixels", &n);

	assert_non_null(planes);
	return to_rows(planes, RGB, n / RGB);
}

static void check_stages(const struct model *m, const struct safetensors *st, const char *prefix,
			 double bound)
{
	size_t i;

	for (i = 0; i < st->n_tensors; i++)
		if (!strncmp(st->tensors[i].name, prefix, strlen(prefix)))
			expect_tap(m, st, st->tensors[i].name, bound);
}

static void check_encoding(struct model *m, const char *name, const struct recording *r)
{
	float *pixels = recorded_pixels(r), *latent = encode(m, pixels, r->h, r->w, NULL);
	float *want = sampler_latent(m, name, r->mean, r->mean_tensor);

	check_stages(m, &r->st, "encoder.", ENCODE_BOUND);
	expect_moments(m, &r->st, ENCODE_BOUND);
	assert_true(max_difference(latent, want, r->n) <= ENCODE_BOUND * fmax(1, rms(want, r->n)));
	free(pixels);
	free(latent);
	free(want);
}

static void check_decoding(struct model *m, const char *name, const struct recording *r)
{
	float *latent = sampler_latent(m, name, r->mean, r->mean_tensor);
	float *pixels = decode(m, latent, r->h, r->w);

	check_stages(m, &r->st, "decoder.", DECODE_BOUND);
	expect_planes(&r->st, "decoded_mean", pixels, DECODE_BOUND);
	free(latent);
	free(pixels);
}

static void test_recorded(void **unused)
{
	static const char *const names[] = { "zimage-a", "klein-a", "klein-b" };
	static const char *const sizes[] = { "64x64", "96x80" };
	size_t i, j;

	(void)unused;
	for (i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct model m;

		model_open(&m, names[i], NULL);
		assert_true(m.family.vae->can_encode(m.p.parts.vae));
		for (j = 0; j < sizeof sizes / sizeof sizes[0]; j++) {
			const struct pipeline_hooks hooks = { .context = &m.taps, .tap = on_tap };
			struct recording r;

			print_message("%s.%s\n", names[i], sizes[j]);
			recording_open(&r, &m, golden_path("vae/%s.%s.safetensors", names[i],
							   sizes[j]));
			m.p.shop.hooks = &hooks;
			check_encoding(&m, names[i], &r);
			check_decoding(&m, names[i], &r);
			m.p.shop.hooks = NULL;
			taps_free(&m.taps);
			safetensors_finish(&r.st);
		}
		model_close(&m);
	}
}

/* mean + exp(logvar / 2) * noise */
static void test_drawn_from_the_distribution(void **unused)
{
	float *pixels, *noise, *z, *got, *want;
	const float *logvar;
	struct recording r;
	struct noise seed;
	struct model m;
	size_t i, n;

	(void)unused;
	model_open(&m, "zimage-a", NULL);
	assert_true(m.family.vae->samples);
	recording_open(&r, &m, golden_path("vae/zimage-a.96x80.safetensors"));
	logvar = golden_floats(&r.st, "logvar", &n);
	noise = floats(n);
	z = floats(n);
	noise_seed(&seed, 7);
	noise_draw(&seed, noise, n);
	for (i = 0; i < n; i++)
		z[i] = r.mean[i] + (float)exp(0.5 * logvar[i]) * noise[i];

	pixels = recorded_pixels(&r);
	got = encode(&m, pixels, r.h, r.w, noise);
	want = scaled("zimage-a", z, n);
	assert_true(max_difference(got, want, n) <= ENCODE_BOUND * fmax(1, rms(want, n)));
	free(pixels);
	free(noise);
	free(z);
	free(got);
	free(want);
	safetensors_finish(&r.st);
	model_close(&m);
}

/* ---- tiles ---- */

/* From here on the device has no room for graphs of so many bytes. */
static void leave_less_than(uint64_t bytes)
{
	struct vk_limits limits = *vk_limits(vk);

	limits.arena_size = bytes - 1;
	vk_limits_override(vk, &limits);
}

/* The picture of scripts/golden_vae.py. */
static float *made_picture(uint32_t height, uint32_t width)
{
	float *pixels = floats((size_t)height * width * RGB), *p = pixels;
	uint32_t y, x, c;

	for (y = 0; y < height; y++)
		for (x = 0; x < width; x++)
			for (c = 0; c < RGB; c++)
				*p++ = (float)((y * (3 + c) + x * (5 - c) + x * y / 64 * (1 + c)) %
					       256) / 127.5f - 1;
	return pixels;
}

/* Against the reference's own tiles. */
static void test_encoding_in_tiles(void **unused)
{
	enum { SIDE = 32 };                     /* 64 eighths */
	const struct vk_limits real = *vk_limits(vk);
	float *pixels, *whole, *tiled;
	struct recording r;
	struct model m;
	const struct pipeline_hooks hooks = { .context = &m.taps, .tap = on_tap };
	struct err err;
	uint64_t bytes;
	uint32_t side;

	(void)unused;
	model_open(&m, "klein-b", NULL);
	m.p.shop.hooks = &hooks;                /* kept taps lie outside the arena: before planning */
	recording_open(&r, &m, golden_path("vae/klein-b.tiled.safetensors"));
	pixels = made_picture(r.h * m.family.vae->scale, r.w * m.family.vae->scale);
	assert_int_equal(encode_plan(&m.p, r.h, r.w, &side, &bytes, &err), 0);
	assert_int_equal(side, r.h);
	whole = encode(&m, pixels, r.h, r.w, NULL);
	taps_free(&m.taps);

	leave_less_than(bytes);
	assert_int_equal(encode_plan(&m.p, r.h, r.w, &side, &bytes, &err), 0);
	assert_int_equal(side, SIDE);
	tiled = encode(&m, pixels, r.h, r.w, NULL);
	vk_limits_override(vk, &real);
	expect_moments(&m, &r.st, DECODE_BOUND);
	/* Far from what no tiles give: the recording tells the two apart. */
	assert_true(max_difference(whole, tiled, r.n) > 1e-2);
	free(pixels);
	free(whole);
	free(tiled);
	safetensors_finish(&r.st);
	model_close(&m);
}

enum { H = 70, W = 66, SIDE = 64, CHANNELS = 16 };

/* The first tile's own part of the picture is that tile decoded alone. */
static void check_first_tile(struct model *m, const float *latent, const float *tiled)
{
	enum { OWN = SIDE * 3 / 4 * EIGHTH };
	float *corner = floats(CHANNELS * SIDE * SIDE), *alone;
	uint32_t c, y;

	for (c = 0; c < CHANNELS; c++)
		for (y = 0; y < SIDE; y++)
			memcpy(corner + (c * SIDE + y) * SIDE, latent + (c * H + y) * W,
			       SIDE * sizeof *corner);
	alone = decode(m, corner, SIDE, SIDE);
	for (y = 0; y < OWN; y++)
		assert_true(max_difference(tiled + (size_t)y * W * EIGHTH * RGB,
					   alone + (size_t)y * SIDE * EIGHTH * RGB, OWN * RGB) <=
			    1e-6);
	free(corner);
	free(alone);
}

static void test_decoding_in_tiles(void **unused)
{
	const struct vk_limits real = *vk_limits(vk);
	float *latent = floats(CHANNELS * H * W), *whole, *tiled;
	struct noise noise;
	struct model m;
	struct err err;
	uint64_t bytes;
	uint32_t side;

	(void)unused;
	noise_seed(&noise, 1);
	noise_draw(&noise, latent, CHANNELS * H * W);
	model_open(&m, "zimage-wide", NULL);
	assert_int_equal(decode_plan(&m.p, H, W, &side, &bytes, &err), 0);
	assert_int_equal(side, H);
	whole = decode(&m, latent, H, W);

	leave_less_than(bytes);
	assert_int_equal(decode_plan(&m.p, H, W, &side, &bytes, &err), 0);
	assert_int_equal(side, SIDE);
	tiled = decode(&m, latent, H, W);
	vk_limits_override(vk, &real);
	check_first_tile(&m, latent, tiled);
	/* Statistics are a tile's own, so the two differ: that shows tiling took place. */
	assert_true(max_difference(whole, tiled, (size_t)H * W * EIGHTH * EIGHTH * RGB) > 1e-5);
	free(latent);
	free(whole);
	free(tiled);
	model_close(&m);
}

static void note_work(void *context, const char *phase, uint32_t step, uint32_t total)
{
	(void)phase;
	(void)step;
	(void)total;
	*(bool *)context = true;
}

static void test_no_room_at_all(void **unused)
{
	const struct vk_limits real = *vk_limits(vk);
	struct vk_limits limits = real;
	const struct pipeline_request request = {
		.prompt = "cat", .width = 64, .height = 64, .steps = 1, .cfg_truncation = 1,
	};
	bool worked = false;
	const struct pipeline_hooks hooks = { .context = &worked, .progress = note_work };
	uint64_t bytes;
	uint32_t side;
	int i;
	struct buf png = BUF_INIT(1 << 20);
	struct err err = { 0 };
	struct fixture f;

	(void)unused;
	fixture_open(&f, vk, golden_path("models/zimage-a"));
	assert_int_equal(decode_plan(f.pipeline, 8, 8, &side, &bytes, &err), 0);
	for (i = 0; i < 2; i++) {
		limits.arena_size = i ? bytes - 1 : 4096;
		vk_limits_override(vk, &limits);
		assert_int_equal(fixture_png(f.pipeline, &request, &hooks, &png, &err),
				 -ENOMEM);
		assert_non_null(strstr(err.text, "choose a smaller size"));
		assert_false(worked);
	}
	limits.arena_size = real.arena_size;
	vk_limits_override(vk, &limits);
	assert_int_equal(fixture_png(f.pipeline, &request, NULL, &png, &err), 0);
	buf_finish(&png);
	fixture_close(&f);
}

/* ---- models that bring no encoder, or half of one ---- */

static void test_without_encoder(void **unused)
{
	static const struct { const char *model; const char *without[3]; } cases[] = {
		{ "zimage-a", { "encoder." } }, { "klein-a", { "encoder.", "quant_conv." } },
	};
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct recording r;
		struct model m;

		model_open(&m, cases[i].model, cases[i].without);
		assert_false(m.family.vae->can_encode(m.p.parts.vae));
		recording_open(&r, &m, golden_path("vae/%s.96x80.safetensors", cases[i].model));
		check_decoding(&m, cases[i].model, &r);
		safetensors_finish(&r.st);
		model_close(&m);
	}
}

static void test_parts_missing(void **unused)
{
	static const struct { const char *model; const char *without[3], *says; } cases[] = {
		{ "zimage-a", { "encoder.mid_block.attentions.0.to_q.bias" },
		  "vae/encoder.mid_block.attentions.0.to_q.bias is missing" },
		{ "klein-a", { "encoder." }, "vae/encoder.conv_in.weight is missing" },
		{ "klein-a", { "quant_conv.weight" }, "vae/quant_conv.weight is missing" },
		{ "klein-a", { "post_quant_conv.bias" }, "vae/post_quant_conv.bias is missing" },
		{ "klein-a", { "bn.running_var" }, "vae/bn.running_var is missing" },
	};
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct model m;
		struct err err = { 0 };

		assert_int_equal(model_bind(&m, cases[i].model, cases[i].without, &err), -EINVAL);
		if (!strstr(err.text, cases[i].says))
			fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].says);
		model_close(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded),
		cmocka_unit_test(test_drawn_from_the_distribution),
		cmocka_unit_test(test_encoding_in_tiles),
		cmocka_unit_test(test_decoding_in_tiles),
		cmocka_unit_test(test_no_room_at_all),
		cmocka_unit_test(test_without_encoder),
		cmocka_unit_test(test_parts_missing),
	};

	vk = device_open();
	return device_close(&vk, cmocka_run_group_tests(tests, NULL, NULL));
}
