/*
 * What the step cache does to pictures of the demo model: how many steps it spares, how
 * close the picture stays, and that the same number of steps spread evenly does worse.
 *
 * With arguments "PICTURES THRESHOLD...", each like teacache:0.15, it measures instead of
 * testing: a row of the trade-off for every threshold.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/limits.h"
#include "tests/golden.h"
#include "tests/ops/vk/device.h"
#include "tests/parts/fixture.h"

enum { SIDE = 128, STEPS = 30, FEW_STEPS = 8, MAX_TRIALS = 240 };

static struct vk *vk;
static struct fixture fixture;

static const char *const prompts[] = {
	"a red circle on a blue background", "two green triangles above a yellow square on a white background",
	"a sunset over mountains", "a white cat on a red background", "a house under a tree",
	"three white stars on a blue striped background", "a boat with red sails on the sea", "a purple flower",
	"the moon over mountains at night", "a black ring on a yellow background", "an orange cat", "a tree",
	"a large blue square on a green background", "two red crosses on a white background",
	"a small yellow star on the left on a purple background", "a green circle on the right on a black background",
	"three orange squares on a blue gradient background", "a white triangle on the top on a red background",
	"two purple circles below a green star on a white background", "a black cat", "a yellow ring on a green background",
	"a red star left of a blue circle on a white background", "a blue flower", "a small red square on a yellow background",
};
enum { N_PROMPTS = sizeof prompts / sizeof *prompts };

struct picture {
	struct image pixels;
	uint32_t reused;
};

/* Which steps are reused, instead of the cache's own choice. */
struct plan {
	uint32_t reused;                        /* of STEPS - 2, evenly */
};

static void evenly(void *context, uint32_t step, bool *reused)
{
	const struct plan *plan = context;
	const uint32_t n = STEPS - 2;

	if (step >= 1 && step <= n)
		*reused = step * plan->reused / n > (step - 1) * plan->reused / n;
}

static struct pipeline_request request_of(unsigned i, double guidance)
{
	return (struct pipeline_request){
		.prompt = prompts[i % N_PROMPTS], .width = SIDE, .height = SIDE, .steps = STEPS, .seed = 100 + i,
		.guidance = guidance, .cfg_truncation = 1, .strength = -1,
	};
}

static void draw(const struct pipeline_request *r, struct plan *plan, struct picture *ret)
{
	const struct pipeline_hooks hooks = { .context = plan, .reuses = evenly };
	struct buf png = BUF_INIT(LIMIT_IMAGE);
	struct err err = { 0 };

	if (fixture_png(fixture.pipeline, r, plan ? &hooks : NULL, &png, &err) < 0 ||
	    image_read(png.data, png.len, LIMIT_INPUT_PIXELS, NULL, &ret->pixels, &err) < 0)
		fail_msg("%s: %s", r->prompt, err.text);
	ret->reused = pipeline_drawn(fixture.pipeline)->steps_reused;
	buf_finish(&png);
}

static double psnr(const struct picture *a, const struct picture *b)
{
	double sum = 0;
	size_t i, n = (size_t)SIDE * SIDE * 3;

	for (i = 0; i < n; i++)
		sum += pow(a->pixels.pixels[i] - b->pixels.pixels[i], 2);
	return sum > 0 ? 10 * log10(255.0 * 255.0 * (double)n / sum) : 99;
}

/* One prompt without, with, and with as many steps reused evenly. */
struct trial {
	double psnr, even_psnr;
	uint32_t reused;
};

static struct trial try(unsigned i, double guidance, struct step_cache_setting setting)
{
	struct pipeline_request r = request_of(i, guidance);
	struct picture plain, cached, even;
	struct plan plan;
	struct trial t;

	draw(&r, NULL, &plain);
	r.step_cache = setting;
	draw(&r, NULL, &cached);
	plan.reused = t.reused = cached.reused;
	draw(&r, &plan, &even);
	assert_int_equal(even.reused, cached.reused);
	t.psnr = psnr(&plain, &cached);
	t.even_psnr = psnr(&plain, &even);
	image_finish(&plain.pixels);
	image_finish(&cached.pixels);
	image_finish(&even.pixels);
	return t;
}

static int ascending(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *x, unsigned n)
{
	qsort(x, n, sizeof *x, ascending);
	return (x[(n - 1) / 2] + x[n / 2]) / 2;
}

static void measure(unsigned n, const char *text, double guidance)
{
	double psnr[MAX_TRIALS], even[MAX_TRIALS], gain[MAX_TRIALS], reused = 0, sum = 0;
	struct step_cache_setting setting;
	unsigned i, won = 0, far = 0;
	struct err err;

	if (step_cache_parse(text, &setting, &err) < 0)
		fail_msg("%s", err.text);
	for (i = 0; i < n; i++) {
		struct trial t = try(i, guidance, setting);

		psnr[i] = t.psnr;
		even[i] = t.even_psnr;
		reused += t.reused;
		gain[i] = t.psnr - t.even_psnr;
		sum += gain[i];
		won += gain[i] > 0;
		far += t.psnr < 30;
	}
	printf("%-14s guidance %3.1f: %4.1f %% reused; PSNR median %.1f", text, guidance,
	       100 * reused / n / STEPS, median(psnr, n));
	printf(", least %.1f, %u under 30; evenly %.1f", psnr[0], far, median(even, n));
	printf(", %.1f; nearer in %u of %u, by %.1f dB in the median, %.1f in the mean\n", even[0],
	       won, n, median(gain, n), sum / n);
	fflush(stdout);
}

/* ---- tests ---- */

static bool same(const struct picture *a, const struct picture *b)
{
	return !memcmp(a->pixels.pixels, b->pixels.pixels, (size_t)SIDE * SIDE * 3);
}

static void test_extremes(void **unused)
{
	static const struct {
		enum step_cache_mode mode;
		double threshold;
		uint32_t reused, guided;
	} rows[] = {
		{ STEP_CACHE_TEACACHE, 0, 0, 0 }, { STEP_CACHE_TEACACHE, 1000, FEW_STEPS - 2, FEW_STEPS - 2 },
		{ STEP_CACHE_REFERENCE, 0, 0, 0 }, { STEP_CACHE_REFERENCE, 1000, FEW_STEPS - 2, FEW_STEPS - 4 },
	};

	(void)unused;
	for (unsigned guided = 0; guided < 2; guided++) {
		struct pipeline_request r = request_of(0, guided ? 1.5 : 0);
		struct picture plain, again;

		r.steps = FEW_STEPS;
		draw(&r, NULL, &plain);
		assert_int_equal(plain.reused, 0);
		for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
			struct picture p;

			r.step_cache = (struct step_cache_setting){ rows[i].mode, rows[i].threshold };
			draw(&r, NULL, &p);
			assert_int_equal(p.reused, guided ? rows[i].guided : rows[i].reused);
			assert_true(same(&p, &plain) == !rows[i].reused);
			image_finish(&p.pixels);
		}
		/* Nothing is left for the next picture. */
		r.step_cache = (struct step_cache_setting){ 0 };
		draw(&r, NULL, &again);
		assert_true(same(&again, &plain));
		image_finish(&again.pixels);
		image_finish(&plain.pixels);
	}
}

static bool countdown(void *context)
{
	int *left = context;

	return (*left)-- <= 0;
}

/* Cancelled with something cached; under a sanitizer nothing of it is left either. */
static void test_cancel(void **unused)
{
	struct pipeline_request r = request_of(0, 1.5);
	struct picture plain, again;

	(void)unused;
	r.steps = FEW_STEPS;
	draw(&r, NULL, &plain);
	for (int asked = 8; asked < 20; asked += 5) {
		int left = asked;
		const struct pipeline_hooks hooks = { .context = &left, .cancelled = countdown };
		struct buf png = BUF_INIT(LIMIT_IMAGE);
		struct err err;

		r.step_cache = (struct step_cache_setting){ STEP_CACHE_TEACACHE, STEP_CACHE_THRESHOLD };
		assert_int_equal(fixture_png(fixture.pipeline, &r, &hooks, &png, &err), -ECANCELED);
		buf_finish(&png);
	}
	r.step_cache = (struct step_cache_setting){ 0 };
	draw(&r, NULL, &again);
	assert_true(same(&again, &plain));
	image_finish(&plain.pixels);
	image_finish(&again.pixels);
}

static void fifth(void *context, uint32_t step, bool *reused)
{
	(void)context;
	*reused = step == 4;
}

static void draw_at(struct pipeline *p, const struct pipeline_request *r, const struct pipeline_hooks *hooks,
		    struct image *ret)
{
	struct buf png = BUF_INIT(LIMIT_IMAGE);
	struct err err = { 0 };

	if (fixture_png(p, r, hooks, &png, &err) < 0 ||
	    image_read(png.data, png.len, LIMIT_INPUT_PIXELS, NULL, ret, &err) < 0)
		fail_msg("%s", err.text);
	buf_finish(&png);
}

/* FLUX.2 with a reference and guidance: one step of eight reused is hardly seen. */
static void test_flux2(void **unused)
{
	const struct pipeline_hooks hooks = { .reuses = fifth };
	const struct image reference = { SIDE, SIDE, 3, calloc(SIDE * SIDE, 3) };
	struct pipeline_request r = {
		.prompt = "a word", .width = SIDE, .height = SIDE, .steps = FEW_STEPS, .seed = 1, .guidance = 3,
		.cfg_truncation = 1, .strength = -1, .images = &reference, .n_images = 1,
	};
	struct picture plain = { 0 }, cached = { 0 };
	struct fixture f;

	(void)unused;
	fixture_open(&f, vk, golden_path("models/klein-a"));
	draw_at(f.pipeline, &r, NULL, &plain.pixels);
	r.step_cache = (struct step_cache_setting){ STEP_CACHE_TEACACHE, 0 };
	draw_at(f.pipeline, &r, NULL, &cached.pixels);
	assert_true(same(&plain, &cached));
	image_finish(&cached.pixels);
	draw_at(f.pipeline, &r, &hooks, &cached.pixels);
	assert_int_equal(pipeline_drawn(f.pipeline)->steps_reused, 1);
	printf("# FLUX.2, one step reused: %.1f dB\n", psnr(&plain, &cached));
	assert_true(!same(&plain, &cached) && psnr(&plain, &cached) >= 30);
	image_finish(&plain.pixels);
	image_finish(&cached.pixels);
	free(reference.pixels);
	fixture_close(&f);
}

/* The model's own coefficients and the default threshold. */
static void test_default(void **unused)
{
	const struct step_cache_setting setting = { STEP_CACHE_TEACACHE, STEP_CACHE_THRESHOLD };

	(void)unused;
	for (unsigned i = 0; i < 2; i++) {
		struct trial t = try(i, i ? 1.5 : 0, setting);

		printf("# %u of %u reused: %.1f dB, evenly %.1f dB\n", t.reused, STEPS, t.psnr,
		       t.even_psnr);
		assert_true(10 * t.reused >= 3 * STEPS && 10 * t.reused <= 5 * STEPS);
		assert_true(t.psnr >= 30);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extremes), cmocka_unit_test(test_default),
		cmocka_unit_test(test_cancel), cmocka_unit_test(test_flux2),
	};
	int r = 0;

	vk = device_open();
	fixture_open(&fixture, vk, DEMO_MODEL);
	if (argc < 3)
		r = cmocka_run_group_tests(tests, NULL, NULL);
	for (int i = 2; i < argc; i++) {
		measure((unsigned)atoi(argv[1]), argv[i], 0);
		measure((unsigned)atoi(argv[1]), argv[i], 1.5);
	}
	fixture_close(&fixture);
	return device_close(&vk, r);
}
