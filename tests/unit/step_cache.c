/*
 * step_cache.c of common and of the runner: the setting's words, both ways to decide.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/step_cache.h"

enum { MAX_STEPS = 64 };

static void test_words(void **unused)
{
	static const struct {
		const char *text;
		enum step_cache_mode mode;
		double threshold;
	} good[] = {
		{ "off", STEP_CACHE_OFF, 0.15 }, { "teacache", STEP_CACHE_TEACACHE, 0.15 },
		{ "reference", STEP_CACHE_REFERENCE, 0.15 }, { "teacache:0.4", STEP_CACHE_TEACACHE, 0.4 },
		{ "reference:1000", STEP_CACHE_REFERENCE, 1000 }, { "teacache:.5", STEP_CACHE_TEACACHE, 0.5 },
		{ "teacache:0", STEP_CACHE_TEACACHE, 0 },
	};
	static const char *const bad[] = {
		"", "on", "Off", "off:0.1", "teacache:", "teacache:.", "teacache:x", "teacache:0.1 ", "teacache:1001",
		"teacache:-1", "teacache:0x1", "teacache:inf", "teacache:1e3", "teacache0.1", "reference:0.1:2", " off",
	};
	struct step_cache_setting s;
	struct err err;

	(void)unused;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_int_equal(step_cache_parse(good[i].text, &s, &err), 0);
		assert_int_equal(s.mode, good[i].mode);
		assert_true(fabs(s.threshold - good[i].threshold) < 1e-12);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(step_cache_parse(bad[i], &s, &err), -EINVAL);
		assert_non_null(strstr(err.text, "step_cache must be off, teacache or reference"));
		assert_int_equal(s.mode, STEP_CACHE_UNSAID);
	}
}

static void test_names(void **unused)
{
	(void)unused;
	for (int mode = STEP_CACHE_OFF; mode <= STEP_CACHE_REFERENCE; mode++)
		assert_int_equal(step_cache_mode_of(step_cache_mode_name(mode)), mode);
	assert_int_equal(step_cache_mode_of("tea"), STEP_CACHE_UNSAID);
	assert_int_equal(step_cache_mode_of(NULL), STEP_CACHE_UNSAID);
	assert_null(step_cache_mode_name(STEP_CACHE_UNSAID));
}

/* ---- the reference's way, on its own timesteps ---- */

/* t_i of n steps for a picture of so many tokens; float32, exp in double. */
static void reference_times(uint32_t tokens, uint32_t steps, float *t)
{
	const float m = (1.15f - 0.5f) / (4096 - 256), b = 0.5f - 256 * m, mu = (float)tokens * m + b;
	const float e = (float)exp((double)mu);
	uint32_t i;

	for (i = 0; i < steps; i++) {
		float u = 1.0f - (float)i / (float)steps;

		t[i] = e / (e + (1.0f / u - 1.0f));
	}
	t[steps] = 0;
}

static void reference_pattern(uint32_t tokens, uint32_t steps, bool guided, char *ret)
{
	const struct step_cache_rule rule = { .setting = { STEP_CACHE_REFERENCE, STEP_CACHE_THRESHOLD },
					      .n_steps = steps, .guided = guided };
	struct step_cache c = { 0 };
	float t[MAX_STEPS + 1];
	uint32_t i;

	reference_times(tokens, steps, t);
	for (i = 0; i < steps; i++)
		ret[i] = step_cache_reuses(&rule, &c, i, (double)t[i]) ? 'r' : 'C';
	ret[steps] = '\0';
}

/* As the reference server decides, but for its last step, which may be a reuse there. */
static void test_reference_patterns(void **unused)
{
	static const struct {
		uint32_t tokens;
		bool guided;
		const char *pattern;
	} rows[] = {
		{ 4096, false, "CrCC" }, { 4096, false, "CrrCrCrC" }, { 4096, false, "CrrCrCrCC" },
		{ 4096, false, "CrrrCrrrCrrCrrCrCrCr" }, { 4096, false, "CrrrrCrrrrCrrrCrrrCrrCrrCrCrCr" },
		{ 1024, false, "CCCC" }, { 1024, false, "CrCrCrCC" }, { 1024, false, "CrCrCrCrC" },
		{ 1024, false, "CrrCrrCrrCrrCrCrCrCr" }, { 1024, false, "CrrrCrrrCrrrCrrCrrCrrCrrCrrCrC" },
		{ 3072, false, "CrCC" }, { 3072, false, "CrCrCrCC" }, { 3072, false, "CrrCrCrCC" },
		{ 3072, false, "CrrrCrrCrrCrrCrCrCrC" }, { 3072, false, "CrrrrCrrrCrrrCrrCrrCrrCrrCrCrC" },
		{ 4096, true, "CCCrCrCrC" }, { 4096, true, "CCCrrrCrrCrrCrCrCrCr" },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const uint32_t steps = (uint32_t)strlen(rows[i].pattern);
		char wanted[MAX_STEPS + 1], got[MAX_STEPS + 1];

		strcpy(wanted, rows[i].pattern);
		wanted[steps - 1] = 'C';
		reference_pattern(rows[i].tokens, steps, rows[i].guided, got);
		assert_string_equal(got, wanted);
	}
}

static void test_reference_times(void **unused)
{
	static const double wanted[] = { 1, .9619, .9170, .8633, .7979, .7164, .6123, .4743, .2830, 0 };
	float t[MAX_STEPS + 1];

	(void)unused;
	reference_times(4096, 9, t);
	for (size_t i = 0; i < 10; i++)
		assert_true(fabs((double)t[i] - wanted[i]) < 6e-5);
}

/* ---- as published ---- */

#define IDENTITY { 0, 0, 0, 1, 0 }

static void teacache_pattern(const struct step_cache_rule *rule, const double *change, char *ret)
{
	struct step_cache c = { 0 };
	uint32_t i;

	for (i = 0; i < rule->n_steps; i++)
		ret[i] = step_cache_reuses(rule, &c, i, change[i]) ? 'r' : 'C';
	ret[i] = '\0';
}

static void test_teacache(void **unused)
{
	static const struct {
		double threshold, coefficients[STEP_CACHE_COEFFICIENTS], change[8];
		const char *pattern;
	} rows[] = {
		/* below the threshold, not at it; binary fractions are exact */
		{ 0.5, IDENTITY, { 9, .25, .25, .25, .125, .125, .25, .25 }, "CrCrrCrC" },
		{ 0.5, IDENTITY, { 0, 0, 0, 0, 0, 0, 0, 0 }, "CrrrrrrC" },
		{ 0, IDENTITY, { 0, 0, 0, 0, 0, 0, 0, 0 }, "CCCCCCCC" },
		{ 0.5, IDENTITY, { 1, 1, 1, 1, 1, 1, 1, 1 }, "CCCCCCCC" },
		/* the sum goes on over reused steps, and from nothing after a computed one */
		{ 1, IDENTITY, { 0, .75, .75, .25, .25, .25, .25, 0 }, "CrCrrrCC" },
		/* highest power first: x^4 + 2 x^3 + x^2 / 2 + x + 1/8 at 1/2 is 17/16 */
		{ 1.0625, { 1, 2, .5, 1, .125 }, { 0, .5, 0, 0, 0, 0, 0, 0 }, "CCrrrrrC" },
		{ 1.0626, { 1, 2, .5, 1, .125 }, { 0, .5, 0, 0, 0, 0, 0, 0 }, "CrCrrrrC" },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct step_cache_rule rule = { .setting = { STEP_CACHE_TEACACHE, rows[i].threshold }, .n_steps = 8,
						.guided = true };
		char got[MAX_STEPS + 1];

		memcpy(rule.coefficients, rows[i].coefficients, sizeof rule.coefficients);
		teacache_pattern(&rule, rows[i].change, got);
		assert_string_equal(got, rows[i].pattern);
	}
}

static void test_few_steps(void **unused)
{
	const double change[] = { 0, 0, 0 };

	(void)unused;
	for (int mode = STEP_CACHE_UNSAID; mode <= STEP_CACHE_REFERENCE; mode++)
		for (uint32_t steps = 1; steps <= 3; steps++) {
			const bool on = mode > STEP_CACHE_OFF;
			const struct step_cache_rule rule = { .setting = { mode, 1000 }, .coefficients = IDENTITY,
							      .n_steps = steps };
			char got[MAX_STEPS + 1];

			teacache_pattern(&rule, change, got);
			assert_string_equal(got, steps == 1 ? "C" : steps == 2 ? "CC" : on ? "CrC" : "CCC");
		}
}

static void test_change(void **unused)
{
	const float before[] = { 1, -2, 4, 1 }, now[] = { 1.5f, -1, 4, 0.5f }, none[] = { 0, 0, 0, 0 };

	(void)unused;
	assert_true(fabs(step_cache_change(now, before, 4) - 0.25) < 1e-12);
	assert_true(step_cache_change(before, before, 4) <= 0);
	assert_true(step_cache_change(none, none, 4) <= 0);
	assert_true(isinf(step_cache_change(now, none, 4)));
}

static void test_coefficients(void **unused)
{
	static const char *const bad[] = {
		"{}", "[]", "{\"coefficients\":1}", "{\"coefficients\":[1,2,3,4]}",
		"{\"coefficients\":[1,2,3,4,\"5\"]}", "{\"coefficients\":[1,2,3,4,5,6]}",
	};
	double c[STEP_CACHE_COEFFICIENTS];
	json_t *file = json_loads("{\"coefficients\":[5,4.5,3,2,-1],\"made_by\":\"x\"}", 0, NULL);
	struct err err;

	(void)unused;
	assert_int_equal(step_cache_coefficients(NULL, c, &err), 0);
	assert_true(c[3] >= 1 && c[3] <= 1 && c[4] >= 0 && c[4] <= 0);
	assert_int_equal(step_cache_coefficients(file, c, &err), 0);
	assert_true(fabs(c[1] - 4.5) < 1e-12 && fabs(c[4] + 1) < 1e-12);
	json_decref(file);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		file = json_loads(bad[i], 0, NULL);
		assert_int_equal(step_cache_coefficients(file, c, &err), -EINVAL);
		assert_non_null(strstr(err.text, "transformer/step_cache.json"));
		json_decref(file);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words), cmocka_unit_test(test_names),
		cmocka_unit_test(test_reference_times), cmocka_unit_test(test_reference_patterns),
		cmocka_unit_test(test_teacache), cmocka_unit_test(test_few_steps),
		cmocka_unit_test(test_change), cmocka_unit_test(test_coefficients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
