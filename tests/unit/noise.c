/*
 * noise.c against torch.randn: every recorded draw, by the names of the tensors.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/noise.h"
#include "tests/golden.h"

static const double tolerance = 2e-6;

static float *draw(struct noise *n, size_t count)
{
	float *out = malloc(count * sizeof *out);

	assert_non_null(out);
	noise_draw(n, out, count);
	return out;
}

static void compare(const char *name, const float *got, const float *want, size_t n)
{
	double d = max_difference(got, want, n);

	if (d > tolerance)
		fail_msg("%s: off by %g", name, d);
}

/* "seed7.n4096.last64": what to draw and which part of it was recorded. */
static void check_single(const char *name, uint64_t seed, size_t count, const char *part,
			 const float *want, size_t n)
{
	struct noise state;
	float *all;

	noise_seed(&state, seed);
	all = draw(&state, count);
	compare(name, strcmp(part, ".last64") ? all : all + count - n, want, n);
	free(all);
}

static void check_second(const char *name, uint64_t seed, size_t first, const float *want, size_t n)
{
	struct noise state;
	float *out;

	noise_seed(&state, seed);
	free(draw(&state, first));
	out = draw(&state, n);
	compare(name, out, want, n);
	free(out);
}

static void test_recorded_draws(void **unused)
{
	struct safetensors st;
	size_t i, n, checked = 0;

	(void)unused;
	golden_map(golden_path("randn/randn.safetensors"), &st);
	for (i = 0; i < st.n_tensors; i++) {
		const char *name = st.tensors[i].name;
		const float *want = golden_floats(&st, name, &n);
		unsigned long long seed;
		size_t count, second;
		int used = 0;

		if (!want)                      /* bfloat16: not drawn by these pipelines */
			continue;
		if (sscanf(name, "seed%llu.n%zu%n", &seed, &count, &used) == 2)
			check_single(name, seed, count, name + used, want, n);
		else if (sscanf(name, "seed%llu.then.%zu.%zu.second%n", &seed, &count, &second,
				&used) == 3 && used)
			check_second(name, seed, count, want, n);
		else if (sscanf(name, "seed%llu.then.%zu.%zu", &seed, &count, &second) == 3)
			check_single(name, seed, count, "", want, n);
		else
			fail_msg("%s: unknown name", name);
		checked++;
	}
	assert_true(checked > 200);
	safetensors_finish(&st);
}

static void test_sums_of_long_draws(void **unused)
{
	json_t *sums = golden_json(golden_path("randn/sums.json"));
	const char *name;
	json_t *want;

	(void)unused;
	json_object_foreach(sums, name, want) {
		unsigned long long seed;
		struct noise state;
		double sum = 0, squares = 0, want_sum, want_squares;
		size_t i, n;
		float *x;

		if (sscanf(name, "seed%llu.n%zu", &seed, &n) != 2)
			fail_msg("%s: unknown name", name);
		noise_seed(&state, seed);
		x = draw(&state, n);
		for (i = 0; i < n; i++) {
			sum += x[i];
			squares += (double)x[i] * x[i];
		}
		free(x);
		want_sum = json_number_value(json_object_get(want, "sum"));
		want_squares = json_number_value(json_object_get(want, "sum_sq"));
		assert_true(fabs(sum - want_sum) < 1e-7 * (double)n + 1e-4);
		assert_true(fabs(squares / want_squares - 1) < 1e-6);
	}
	json_decref(sums);
}

static void test_spare_is_dropped_by_seeding(void **unused)
{
	struct noise state;
	float a, b;

	(void)unused;
	noise_seed(&state, 5);
	noise_draw(&state, &a, 1);
	noise_seed(&state, 5);
	noise_draw(&state, &b, 1);
	assert_true(a == b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded_draws),
		cmocka_unit_test(test_sums_of_long_draws),
		cmocka_unit_test(test_spare_is_dropped_by_seeding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
