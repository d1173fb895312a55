/*
 * The autoencoders' configs, and their latents on the host: packing, normalisation, the
 * draw from the encoder's distribution.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fields.h"
#include "runner/vae/vae.h"

#define WIDTHS "\"block_out_channels\": [32, 32, 32, 32], \"layers_per_block\": 1"

static int create(const struct vae_class *class, const char *config, void **ret, struct err *err)
{
	json_t *json = json_parse(config, strlen(config), false, err);
	int r;

	if (!json)
		fail_msg("%s: %s", config, err->text);
	r = class->create(json, ret, err);
	json_decref(json);
	return r;
}

static void *make(const struct vae_class *class, const char *config)
{
	struct err err;
	void *self;

	if (create(class, config, &self, &err) < 0)
		fail_msg("%s", err.text);
	return self;
}

static void test_refused_configs(void **unused)
{
	static const struct { const struct vae_class *class; const char *config, *says; } cases[] = {
		{ &autoencoder_kl, "{" WIDTHS ", \"latent_channels\": 4}", "scaling_factor" },
		{ &autoencoder_kl, "{" WIDTHS ", \"latent_channels\": 4, \"scaling_factor\": 1, "
		  "\"latents_mean\": [0]}", "latents_mean" },
		{ &autoencoder_kl_flux2, "{" WIDTHS "}", "latent_channels" },
		{ &autoencoder_kl_flux2, "{" WIDTHS ", \"latent_channels\": 4, \"in_channels\": 4}",
		  "in_channels" },
		{ &autoencoder_kl_flux2, "{" WIDTHS ", \"latent_channels\": 4, \"patch_size\": [1, 2]}",
		  "patch_size must be [2, 2]" },
		{ &autoencoder_kl_flux2, "{" WIDTHS ", \"latent_channels\": 4, "
		  "\"decoder_block_out_channels\": [32, 32, 32]}",
		  "decoder_block_out_channels must be a list of 4" },
		{ &autoencoder_kl_flux2, "{" WIDTHS ", \"latent_channels\": 4, "
		  "\"decoder_block_out_channels\": [32, 32, 32, 33]}",
		  "decoder_block_out_channels[3] = 33" },
		{ &autoencoder_kl_flux2, "{" WIDTHS ", \"latent_channels\": 4, "
		  "\"down_block_types\": [\"AttnDownEncoderBlock2D\"]}",
		  "down_block_types: 'AttnDownEncoderBlock2D'" },
		{ &autoencoder_kl_flux2, "{" WIDTHS ", \"latent_channels\": 4, \"batch_norm_eps\": 0}",
		  "batch_norm_eps" },
	};
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct err err = { 0 };
		void *self = NULL;

		assert_int_equal(create(cases[i].class, cases[i].config, &self, &err), -EINVAL);
		if (!strstr(err.text, cases[i].says))
			fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].says);
	}
}

static void test_decoder_of_its_own_width(void **unused)
{
	void *self = make(&autoencoder_kl_flux2, "{" WIDTHS ", \"latent_channels\": 4, "
			  "\"decoder_block_out_channels\": [32, 32, 32, 64]}");
	const struct weights_source bias = {
		.name = (char *)"vae/decoder.conv_in.bias", .dtype = DTYPE_F32, .rank = 1,
		.shape = { 32 },
	};
	struct weights *w = weights_create();
	struct err err;

	(void)unused;
	assert_non_null(w);
	assert_int_equal(weights_offer(w, &bias, &err), 0);
	autoencoder_kl_flux2.bind(self, w);
	assert_false(autoencoder_kl_flux2.can_encode(self));
	assert_int_equal(weights_check(w, &err), -EINVAL);
	assert_non_null(strstr(err.text, "decoder.conv_in.bias is [32], the configs want [64]"));
	weights_close(NULL, &w);
	autoencoder_kl_flux2.free(self);
}

static void expect_close(const float *got, const double *want, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!(fabs(got[i] - want[i]) <= 1e-6 * fmax(1, fabs(want[i]))))
			fail_msg("number %zu is %g, not %g", i, (double)got[i], want[i]);
}

static void test_scaling_and_shift(void **unused)
{
	enum { N = 3 };
	/* Logarithms of variances beyond what the reference lets through, and one between. */
	static const float moments[2 * N] = { 1, 100, 2, -100, 3, 2.19722458f };
	static const float noise[N] = { 2, -2, 2 };
	const double drawn[N] = { 1 + 2 * exp(10), 2 - 2 * exp(-15), 3 + 2 * 3.0 };
	void *self = make(&autoencoder_kl, "{" WIDTHS ", \"latent_channels\": 1, "
			  "\"scaling_factor\": 0.5, \"shift_factor\": 0.25}");
	double mean[N], random[N];
	float latent[N];
	int i;

	(void)unused;
	for (i = 0; i < N; i++) {
		mean[i] = (moments[2 * i] - 0.25) * 0.5;
		random[i] = (drawn[i] - 0.25) * 0.5;
	}
	assert_int_equal(vae_moments(&autoencoder_kl, self), 2);
	autoencoder_kl.latent_of(self, moments, 1, N, NULL, latent);
	expect_close(latent, mean, N);
	autoencoder_kl.latent_of(self, moments, 1, N, noise, latent);
	expect_close(latent, random, N);
	autoencoder_kl.free(self);
}

enum { OWN = 2, PACKED = 4 * OWN };

/* Statistics as a model brings them; bn.num_batches_tracked is known and of no use. */
static void bind_statistics(void *self, const float *mean, const float *variance)
{
	static const int64_t batches = 1;
	const struct weights_source sources[] = {
		{ .name = (char *)"vae/bn.running_mean", .dtype = DTYPE_F32, .rank = 1,
		  .shape = { PACKED }, .array.data = (const void *)mean },
		{ .name = (char *)"vae/bn.running_var", .dtype = DTYPE_F32, .rank = 1,
		  .shape = { PACKED }, .array.data = (const void *)variance },
		{ .name = (char *)"vae/bn.num_batches_tracked", .dtype = DTYPE_I64,
		  .array.data = (const void *)&batches },
	};
	struct weights *w = weights_create();
	struct err err;
	size_t i;

	assert_non_null(w);
	for (i = 0; i < sizeof sources / sizeof sources[0]; i++)
		assert_int_equal(weights_offer(w, &sources[i], &err), 0);
	autoencoder_kl_flux2.bind(self, w);
	assert_int_equal(weights_check(w, &err), -EINVAL);      /* there is no decoder */
	assert_null(strstr(err.text, "bn."));
	weights_close(NULL, &w);
}

/* Channel c, row y, column x of the eighths is channel 4c + 2 (y % 2) + x % 2 at y / 2, x / 2. */
static void test_packing(void **unused)
{
	enum { H = 2, W = 3, N = PACKED * H * W };
	static const float running_mean[PACKED] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	static const float variance[PACKED] = { 1, 4, 9, 16, 25, 36, 49, 64 };
	void *self = make(&autoencoder_kl_flux2, "{" WIDTHS ", \"latent_channels\": 2, "
			  "\"batch_norm_eps\": 0.5}");
	float moments[4 * H * W][2 * OWN], latent[N];
	double want[N];
	uint32_t y, x, c;

	(void)unused;
	bind_statistics(self, running_mean, variance);
	for (y = 0; y < 2 * H; y++)
		for (x = 0; x < 2 * W; x++)
			for (c = 0; c < OWN; c++) {
				uint32_t k = 4 * c + 2 * (y % 2) + x % 2;
				float v = (float)(100 * c + 10 * y + x);

				moments[y * 2 * W + x][c] = v;
				moments[y * 2 * W + x][OWN + c] = NAN;  /* not looked at */
				want[(k * H + y / 2) * W + x / 2] =
					(v - running_mean[k]) / sqrt(variance[k] + 0.5);
			}
	assert_int_equal(autoencoder_kl_flux2.latent_channels(self), PACKED);
	assert_int_equal(vae_moments(&autoencoder_kl_flux2, self), 2 * OWN);
	autoencoder_kl_flux2.latent_of(self, moments[0], H, W, NULL, latent);
	expect_close(latent, want, N);
	autoencoder_kl_flux2.free(self);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused_configs),
		cmocka_unit_test(test_decoder_of_its_own_width),
		cmocka_unit_test(test_scaling_and_shift),
		cmocka_unit_test(test_packing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
