/*
 * flow_match.c: schedules against recorded ones, the update rule, bad configs.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/sampler/sampler.h"
#include "tests/golden.h"

enum { MAX_STEPS = 1000 };

static void check_schedule(const json_t *row)
{
	const json_t *want = json_object_get(row, "sigmas");
	uint32_t i, steps = (uint32_t)json_integer_value(json_object_get(row, "steps"));
	const json_t *shift = json_object_get(row, "shift");
	const bool fixed = shift != NULL;       /* Z-Image */
	const struct sampler_class *c = fixed ? &flow_match : &flow_match_flux2;
	json_t *config = json_pack("{s:f, s:b}", "shift", fixed ? json_number_value(shift) : 3.0,
				   "use_dynamic_shifting", !fixed);
	uint32_t n_image = (uint32_t)json_integer_value(json_object_get(row, "image_tokens"));
	float sigmas[MAX_STEPS + 1];
	struct err err;
	void *sampler;

	assert_true(steps <= MAX_STEPS);
	assert_int_equal(c->create(config, &sampler, &err), 0);
	assert_int_equal(c->sigmas(sampler, steps, n_image, sigmas, &err), 0);
	assert_int_equal(json_array_size(want), steps + 1);
	for (i = 0; i <= steps; i++) {
		double w = json_number_value(json_array_get(want, i));

		/* To the bit: the transformer multiplies what follows from a sigma by 1000. */
		if (sigmas[i] != (float)w)
			fail_msg("steps %u: sigma %u is %.9g, not %.9g", steps, i,
				 (double)sigmas[i], w);
	}
	c->free(sampler);
	json_decref(config);
}

static void test_recorded_schedules(void **unused)
{
	json_t *rows = golden_json(golden_path("scheduler/schedules.json"));
	size_t i, n = 0;

	(void)unused;
	for (i = 0; i < json_array_size(rows); i++) {
		check_schedule(json_array_get(rows, i));
		n++;
	}
	assert_true(n > 10);
	json_decref(rows);
}

/* mu = 1.15 at 4096 tokens: sigma' = e^mu / (e^mu + 1/sigma - 1). */
static void test_dynamic_shifting(void **unused)
{
	json_t *config = json_pack("{s:b, s:f}", "use_dynamic_shifting", 1, "shift", 3.0);
	float sigmas[3];
	struct err err;
	void *sampler;

	(void)unused;
	assert_int_equal(flow_match.create(config, &sampler, &err), 0);
	assert_int_equal(flow_match.sigmas(sampler, 2, 4096, sigmas, &err), 0);
	assert_true(fabs(sigmas[0] - 1.0) < 1e-6);
	assert_true(fabs(sigmas[1] - exp(1.15) / (exp(1.15) + 1.0)) < 1e-6);
	assert_true(sigmas[2] == 0);
	flow_match.free(sampler);
	json_decref(config);
}

static void test_terminal_shift(void **unused)
{
	json_t *config = json_pack("{s:f, s:f}", "shift", 1.0, "shift_terminal", 0.1);
	float sigmas[5];
	struct err err;
	void *sampler;

	(void)unused;
	assert_int_equal(flow_match.create(config, &sampler, &err), 0);
	assert_int_equal(flow_match.sigmas(sampler, 4, 256, sigmas, &err), 0);
	assert_true(fabs(sigmas[0] - 1.0) < 1e-6);
	assert_true(fabs(sigmas[3] - 0.1) < 1e-6);
	flow_match.free(sampler);
	json_decref(config);
}

static void test_step(void **unused)
{
	const float sigmas[] = { 1.0f, 0.25f, 0.0f }, velocity[] = { 2.0f, -4.0f };
	float latent[] = { 1.0f, 1.0f };
	json_t *config = json_object();
	struct err err;
	void *sampler;

	(void)unused;
	assert_int_equal(flow_match.create(config, &sampler, &err), 0);
	flow_match.step(sampler, sigmas, 0, velocity, latent, 2);
	assert_true(latent[0] == -0.5f && latent[1] == 4.0f);
	flow_match.free(sampler);
	json_decref(config);
}

static void test_bad_configs(void **unused)
{
	static const struct { const char *json, *names; } cases[] = {
		{ "{\"shift\": 0}", "shift" },
		{ "{\"shift\": \"3\"}", "shift" },
		{ "{\"use_karras_sigmas\": true}", "use_karras_sigmas" },
		{ "{\"time_shift_type\": \"cubic\"}", "time_shift_type" },
		{ "{\"base_image_seq_len\": 5000}", "max_image_seq_len" },
	};
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		json_t *config = json_loads(cases[i].json, 0, NULL);
		struct err err;
		void *sampler;

		assert_int_equal(flow_match.create(config, &sampler, &err), -EINVAL);
		assert_non_null(strstr(err.text, cases[i].names));
		json_decref(config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded_schedules),
		cmocka_unit_test(test_dynamic_shifting),
		cmocka_unit_test(test_terminal_shift),
		cmocka_unit_test(test_step),
		cmocka_unit_test(test_bad_configs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
