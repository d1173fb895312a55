/*
 * A whole run against a recorded one: every intermediate by name, the latents of every
 * step, the decoded picture and the PNG.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/limits.h"
#include "runner/noise.h"
#include "tests/golden.h"
#include "tests/parts/recorded.h"

enum { SEQ_MULTIPLE = 32 };

struct run {
	const struct recording *rec;
	struct pipeline *pipeline;
	struct pipeline_request request;
	uint32_t image, n_images;               /* which one of a batch drawn at once */
	struct taps taps;
	struct safetensors golden;
	double worst;                           /* difference over tolerance */
	const char *worst_name;
};

static bool starts_with(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

/* Whether the reference ran the negative prompt too. */
static bool is_guided(const struct run *r)
{
	size_t i;

	for (i = 0; i < r->golden.n_tensors; i++)
		if (starts_with(r->golden.tensors[i].name, "negative."))
			return true;
	return false;
}

/* FLUX.2 runs are recorded as tokens [n, channels], with the sign of the sampler. */
static bool is_packed(const struct run *r)
{
	size_t n;

	return golden_floats(&r->golden, "final_latents_packed", &n) != NULL;
}

/* ---- one tensor ---- */

static double rounded_tolerance(const struct run *r, const float *want, size_t n)
{
	float most = 0;

	for (size_t i = 0; i < n; i++)
		most = fmaxf(most, fabsf(want[i]));
	return r->rec->tolerances.rounded * (double)most;
}

static void compare(struct run *r, const char *name, const float *got, const float *want, size_t n,
		    double tolerance)
{
	double d = max_difference(got, want, n);

	if (r->rec->tolerances.rounded > 0 && strcmp(name, "initial_latents") != 0 && strcmp(name, "sigmas") != 0)
		tolerance = rounded_tolerance(r, want, n);
	if (!(d <= tolerance))
		fail_msg("%s: %s is off by %g, allowed %g", r->rec->name, name, d, tolerance);
	if (d / tolerance > r->worst) {
		r->worst = d / tolerance;
		r->worst_name = name;
	}
}

/* Entry of the batch: pictures, or with guidance the prompt and the negative prompt. */
static void compare_entry(struct run *r, const struct st_tensor *t, const char *tap_name,
			  uint32_t entry, double tolerance)
{
	const struct tap *tap = taps_find(&r->taps, tap_name);
	size_t n, part;
	const float *want = golden_floats(&r->golden, t->name, &n);

	part = n / t->shape[0];
	if (!tap)
		fail_msg("%s: %s was never tapped", r->rec->name, tap_name);
	/* Rows beyond a tap's own are padding of the batch. */
	if (tap->n > part)
		fail_msg("%s: %s has %zu values, recorded %zu", r->rec->name, tap_name, tap->n,
			 part);
	compare(r, t->name, tap->data, want + entry * part, tap->n, tolerance);
}

/* Embedders are recorded with the batch end to end, each padded by copies of its last row. */
static void compare_embedder(struct run *r, const struct st_tensor *t, double tolerance)
{
	size_t n, cols = t->shape[1], offset = 0;
	const float *want = golden_floats(&r->golden, t->name, &n);
	const char *const prefixes[] = { "", "negative." };
	unsigned entry;

	for (entry = 0; entry < (is_guided(r) ? 2u : 1u); entry++) {
		char name[128];
		const struct tap *tap;

		snprintf(name, sizeof name, "%s%s", prefixes[entry], t->name);
		tap = taps_find(&r->taps, name);
		if (!tap || offset + tap->n > n)
			fail_msg("%s: %s was not tapped or is too long", r->rec->name, name);
		compare(r, t->name, tap->data, want + offset, tap->n, tolerance);
		offset += (tap->n / cols + SEQ_MULTIPLE - 1) / SEQ_MULTIPLE * SEQ_MULTIPLE * cols;
	}
}

static void compare_step0(struct run *r, const struct st_tensor *t, double tolerance)
{
	char negative[128];

	if (strstr(t->name, "_embedder") && t->rank == 2 && !strstr(t->name, "t_embedder")) {
		compare_embedder(r, t, tolerance);
		return;
	}
	compare_entry(r, t, t->name, 0, tolerance);
	if (!is_guided(r) || t->shape[0] < 2)
		return;                         /* of the prompt's pass alone */
	snprintf(negative, sizeof negative, "negative.%s", t->name);
	compare_entry(r, t, negative, 1, tolerance);
}

/* One entry of a batch of latents as recorded against a tap [channels, h, w]. */
static void compare_latent(struct run *r, const struct st_tensor *t, const char *tap_name,
			   uint32_t entry, float sign, double tolerance)
{
	const struct tap *tap = taps_find(&r->taps, tap_name);
	size_t n, i, part;
	const float *want = golden_floats(&r->golden, t->name, &n);
	const size_t channels = is_packed(r) ? t->shape[2] : 1;
	float *got;

	part = n / t->shape[0];
	if (!tap || tap->n != part)
		fail_msg("%s: %s was not tapped or has another size", r->rec->name, tap_name);
	got = malloc(part * sizeof *got);
	assert_non_null(got);
	for (i = 0; i < part; i++)
		got[i] = sign * tap->data[i % channels * (part / channels) + i / channels];
	compare(r, t->name, got, want + entry * part, part, tolerance);
	free(got);
}

/* "transformer_out.STEP", of the batch; or "transformer_out.STEP.pos", one pass each. */
static void compare_velocity(struct run *r, const struct st_tensor *t, double tolerance)
{
	const char *step = strchr(t->name, '.') + 1, *pass = strchr(step, '.');
	const int digits = (int)(pass ? pass - step : (long)strlen(step));
	const char *const prefixes[] = { "", "negative." };
	const float sign = is_packed(r) ? 1 : -1;
	uint32_t entry, batch = (uint32_t)t->shape[0];

	for (entry = 0; entry < batch; entry++) {
		unsigned prefix = pass ? !strcmp(pass, ".neg") : r->n_images > 1 ? 0 : entry;
		char name[64];

		if (r->n_images > 1 && entry != r->image)
			continue;
		snprintf(name, sizeof name, "%svelocity.%.*s", prefixes[prefix], digits, step);
		compare_latent(r, t, name, entry, sign, tolerance);
	}
}

/* Rows that grow from the first to the last: each within its own scale. */
static void compare_rows(struct run *r, const struct st_tensor *t, double tolerance)
{
	const struct tap *tap = taps_find(&r->taps, t->name);
	size_t n, i, cols = t->shape[1];
	const float *want = golden_floats(&r->golden, t->name, &n);

	if (!tap || tap->n != n)
		fail_msg("%s: %s was not tapped or has another size", r->rec->name, t->name);
	for (i = 0; i < n; i += cols)
		compare(r, t->name, tap->data + i, want + i, cols, tolerance * rms(want + i, cols));
}

/* Recorded [3, h, w], tapped [h * w, 3]. */
static void compare_pixels(struct run *r, const struct st_tensor *t, double tolerance)
{
	const struct tap *tap = taps_find(&r->taps, "vae_out");
	size_t n, i, plane;
	const float *want = golden_floats(&r->golden, t->name, &n);
	float *planes;

	assert_non_null(tap);
	n /= t->shape[0];
	plane = n / 3;
	assert_int_equal(tap->n, n);
	planes = malloc(n * sizeof *planes);
	assert_non_null(planes);
	for (i = 0; i < n; i++)
		planes[i % 3 * plane + i / 3] = tap->data[i];
	compare(r, t->name, planes, want + r->image * n, n, tolerance);
	free(planes);
}

static void compare_tensor(struct run *r, const struct st_tensor *t)
{
	size_t n;
	const float *want = golden_floats(&r->golden, t->name, &n);
	const struct tap *tap = taps_find(&r->taps, t->name);
	const struct tolerances *a = &r->rec->tolerances;
	const bool edits = r->request.n_images;
	double latents = is_guided(r) ? a->guided_latents : a->latents;
	double pixels = is_guided(r) ? a->guided_pixels : a->pixels;
	double scale = want ? rms(want, n) : 0;

	if (!want)
		return;                         /* ids are the tokenizer's test */
	if (starts_with(t->name, "step0."))
		compare_step0(r, t, edits ? a->encoded : 2e-5 * scale);
	else if (starts_with(t->name, "transformer_out."))
		compare_velocity(r, t, latents);
	else if (!strcmp(t->name, "vae_out"))
		compare_pixels(r, t, pixels);
	else if (!strcmp(t->name, "initial_latents"))
		compare_entry(r, t, t->name, r->image, 2e-6);
	else if (starts_with(t->name, "latents_after.") || !strcmp(t->name, "final_latents"))
		compare_latent(r, t, t->name, r->image, 1, latents);
	else if (!strcmp(t->name, "final_latents_packed"))
		compare_latent(r, t, "final_latents", r->image, 1, latents);
	else if (strstr(t->name, ".latents_normalised"))
		compare_entry(r, t, t->name, 0, a->encoded);
	else if (strstr(t->name, ".embeds"))
		compare_rows(r, t, 2e-5);
	else if (!strcmp(t->name, "sigmas"))
		compare(r, t->name, tap->data, want, n, 1e-6);
	else if (tap && strstr(t->name, "hidden_states"))
		compare(r, t->name, tap->data, want, n, 2e-5 * scale);
}

/* ---- one run ---- */

static void on_tap(void *context_, const char *name, const float *data, size_t n)
{
	struct run *r = context_;

	taps_add(&r->taps, name, data, n);
}

/* Several pictures are one draw of noise; this run takes its share. */
static void on_noise(void *context_, float *latent, size_t n)
{
	const struct run *r = context_;
	struct noise noise;
	float *all;

	if (r->n_images < 2)
		return;
	all = malloc(n * r->n_images * sizeof *all);
	assert_non_null(all);
	noise_seed(&noise, r->request.seed);
	noise_draw(&noise, all, n * r->n_images);
	memcpy(latent, all + r->image * n, n * sizeof *latent);
	free(all);
}

static void check_png(const struct run *r, const struct buf *png)
{
	struct png_difference d;
	const char *path = r->image ? golden_path("%s.image%u.png", r->rec->pictures, r->image) :
		golden_path("%s.png", r->rec->pictures);

	d = png_compare(png->data, png->len, path);
	if (r->rec->tolerances.rounded > 0 ? d.psnr < (r->rec->tolerances.rounded > 1e-2 ? 24 : 30) : d.max > 1)
		fail_msg("%s: the picture is off by %d of 255, %.1f dB", r->rec->name, d.max, d.psnr);
}

static void draw(struct run *r)
{
	const struct pipeline_hooks hooks = { .context = r, .tap = on_tap, .noise = on_noise };
	struct buf png = BUF_INIT(LIMIT_IMAGE);
	struct err err = { 0 };
	size_t i;

	if (fixture_png(r->pipeline, &r->request, &hooks, &png, &err) < 0)
		fail_msg("%s: %s", r->rec->name, err.text);
	for (i = 0; i < r->golden.n_tensors; i++)
		compare_tensor(r, &r->golden.tensors[i]);
	check_png(r, &png);
	buf_finish(&png);
	taps_free(&r->taps);
}

static uint32_t number(const json_t *request, const char *key, uint32_t fallback)
{
	const json_t *v = json_object_get(request, key);

	return json_is_integer(v) ? (uint32_t)json_integer_value(v) : fallback;
}

/* As the reference reads them: true is 1.0. */
static double real(const json_t *request, const char *key, double fallback)
{
	const json_t *v = json_object_get(request, key);

	if (json_is_true(v))
		return 1;
	return json_is_number(v) ? json_number_value(v) : fallback;
}

static void read_picture(const json_t *name, struct image *ret)
{
	size_t len;
	char *file = golden_text(golden_path("cases/%s", json_string_value(name)), &len);
	struct err err = { 0 };

	if (image_read(file, len, LIMIT_INPUT_PIXELS, NULL, ret, &err) < 0)
		fail_msg("%s: %s", json_string_value(name), err.text);
	free(file);
}

/* Pictures as the runner hands them on: references, or the one to start from, and its mask. */
struct inputs {
	struct image images[LIMIT_INPUT_IMAGES], mask;
	unsigned n;
};

static void read_inputs(const json_t *request, struct inputs *ret)
{
	const json_t *names = json_object_get(request, "reference_images"), *name;
	const json_t *start = json_object_get(request, "image"), *mask = json_object_get(request, "mask");
	size_t i;

	*ret = (struct inputs){ 0 };
	json_array_foreach(names, i, name)
		read_picture(name, &ret->images[ret->n++]);
	if (start)
		read_picture(start, &ret->images[ret->n++]);
	for (i = 0; i < ret->n; i++)
		image_flatten(&ret->images[i]);
	if (mask) {
		struct image pixels;
		struct err err;

		read_picture(mask, &pixels);
		assert_int_equal(image_to_mask(&pixels, false, &ret->mask, &err), 0);
		image_finish(&pixels);
	}
}

static void finish_inputs(struct inputs *inputs)
{
	unsigned i;

	for (i = 0; i < inputs->n; i++)
		image_finish(&inputs->images[i]);
	image_finish(&inputs->mask);
}

void recorded_check(struct pipeline *p, const struct recording *rec)
{
	const json_t *q = rec->request;
	struct inputs inputs;
	struct run r = {
		.rec = rec, .pipeline = p, .worst_name = "",
		.request = {
			.prompt = json_string_value(json_object_get(q, "prompt")),
			.negative = json_string_value(json_object_get(q, "negative")),
			.width = number(q, "width", 0), .height = number(q, "height", 0),
			.steps = number(q, "steps", 0),
			.seed = (uint64_t)json_integer_value(json_object_get(q, "seed")),
			.guidance = real(q, "guidance", 0),
			.cfg_normalization = real(q, "cfg_normalization", 0),
			.cfg_truncation = real(q, "cfg_truncation", 1),
		},
		.n_images = number(q, "num_images", 1),
	};

	read_inputs(q, &inputs);
	r.request.images = inputs.images;
	r.request.n_images = inputs.n;
	r.request.mask = inputs.mask.pixels ? &inputs.mask : NULL;
	r.request.strength = real(q, "strength", -1);
	if (inputs.n)
		image_output_size(&inputs.images[0], &r.request.width, &r.request.height);
	golden_map(golden_path("%s", rec->tensors), &r.golden);
	for (r.image = 0; r.image < r.n_images; r.image++)
		draw(&r);
	printf("# %-32s worst %.2f of the tolerance, at %s\n", rec->name, r.worst, r.worst_name);
	safetensors_finish(&r.golden);
	finish_inputs(&inputs);
}
