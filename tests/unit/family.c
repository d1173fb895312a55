/*
 * family.c and weights.c: a model that fits, and everything that does not: configs that
 * contradict themselves, tensors that are missing, odd-shaped, of other types, too many.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/family.h"
#include "tests/golden.h"

static const char *const files[] = {
	"model_index.json", "transformer/config.json", "text_encoder/config.json",
		"vae/config.json", "scheduler/scheduler_config.json",
};
enum { N_FILES = sizeof files / sizeof files[0] };

/* A golden model's configs and tensor headers, to be bent before the check. */
struct model {
	json_t *json[N_FILES];
	struct weights *weights;
};

/* What is done to the tensors while they are offered. */
struct change {
	const char *tensor;                     /* full name; NULL: none */
	const char *action;                     /* "drop", "shape", "dtype"; of no tensor: "drop encoder" */
};

static void offer(struct model *m, const char *component, const struct st_tensor *t,
		  const struct change *change)
{
	char name[512];
	struct weights_source s = { .name = name, .dtype = t->dtype, .rank = t->rank };
	struct err err;

	snprintf(name, sizeof name, "%s/%s", component, t->name);
	memcpy(s.shape, t->shape, sizeof s.shape);
	if (change && !change->tensor && change->action &&
	    (!strncmp(name, "vae/encoder.", 12) || !strncmp(name, "vae/quant_conv.", 15)))
		return;
	if (change && change->tensor && !strcmp(change->tensor, name)) {
		if (!strcmp(change->action, "drop"))
			return;
		if (!strcmp(change->action, "shape"))
			s.shape[0]++;
		if (!strcmp(change->action, "dtype"))
			s.dtype = DTYPE_U8;
	}
	assert_int_equal(weights_offer(m->weights, &s, &err), 0);
}

static void offer_component(struct model *m, const char *model, const char *component,
			    const struct change *change)
{
	struct dirent **entries;
	char folder[1024], path[2048];
	int i, n;
	size_t t;

	snprintf(folder, sizeof folder, "%s", golden_path("models/%s/%s", model, component));
	n = scandir(folder, &entries, NULL, alphasort);
	assert_true(n > 2);
	for (i = 0; i < n; i++) {
		struct safetensors st;
		const char *dot = strrchr(entries[i]->d_name, '.');

		snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
		if (dot && !strcmp(dot, ".safetensors")) {
			golden_map(path, &st);
			for (t = 0; t < st.n_tensors; t++)
				offer(m, component, &st.tensors[t], change);
			safetensors_finish(&st);
		}
		free(entries[i]);
	}
	free(entries);
}

static void open_model(struct model *m, const char *name, const struct change *change)
{
	int i;

	for (i = 0; i < N_FILES; i++)
		m->json[i] = golden_json(golden_path("models/%s/%s", name, files[i]));
	m->weights = weights_create();
	assert_non_null(m->weights);
	offer_component(m, name, "text_encoder", change);
	offer_component(m, name, "transformer", change);
	offer_component(m, name, "vae", change);
}

static int check_edits(struct model *m, bool *ret_edits, struct err *err)
{
	const struct family_configs c = {
		.model_index = m->json[0], .transformer = m->json[1], .text_encoder = m->json[2],
		.vae = m->json[3], .scheduler = m->json[4],
	};
	int i, r = family_check(&c, m->weights, ret_edits, err);

	weights_close(NULL, &m->weights);
	for (i = 0; i < N_FILES; i++)
		json_decref(m->json[i]);
	return r;
}

static int check_model(struct model *m, struct err *err)
{
	bool edits;

	return check_edits(m, &edits, err);
}

/* Pictures to refer to want a family that does so, and an encoder. */
static void test_models_that_edit(void **unused)
{
	static const struct {
		const char *model;
		struct change change;
		bool edits;
	} cases[] = {
		{ "klein-a", { NULL, NULL }, true },
		{ "klein-a", { NULL, "drop encoder" }, false },
		{ "zimage-a", { NULL, NULL }, false },
	};
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct model m;
		struct err err;
		bool edits;

		open_model(&m, cases[i].model, &cases[i].change);
		if (check_edits(&m, &edits, &err) < 0)
			fail_msg("%s: %s", cases[i].model, err.text);
		assert_int_equal(edits, cases[i].edits);
	}
}

static void test_models_that_fit(void **unused)
{
	static const char *const names[] = { "klein-a", "klein-b", "zimage-a", "zimage-b", "zimage-wide" };
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct model m;
		struct err err;

		open_model(&m, names[i], NULL);
		if (check_model(&m, &err) < 0)
			fail_msg("%s: %s", names[i], err.text);
	}
}

/* One member of one config changed: the error names file and key. */
static void test_bad_configs(void **unused)
{
	static const struct { int file; const char *key, *value, *says; } cases[] = {
		{ 0, "_class_name", "\"OtherPipeline\"", "OtherPipeline" },
		{ 0, "_class_name", "null", "model_index.json" },
		{ 1, "n_heads", "3", "n_heads" },
		{ 1, "n_heads", "0", "n_heads" },
		{ 1, "n_heads", "-2", "n_heads" },
		{ 1, "dim", "1e9", "dim" },
		{ 1, "dim", "4000000000", "dim" },
		{ 1, "n_layers", "2147483648", "n_layers" },
		{ 1, "n_kv_heads", "3", "n_kv_heads" },
		{ 1, "axes_dims", "[8, 12, 16]", "axes_dims" },
		{ 1, "axes_dims", "[7, 13, 12]", "axes_dims" },
		{ 1, "axes_dims", "[8, 24]", "axes_dims" },
		{ 1, "axes_dims", "[0, 16, 16]", "axes_dims" },
		{ 1, "axes_lens", "[1, 2, -3]", "axes_lens" },
		{ 1, "all_patch_size", "[4]", "all_patch_size" },
		{ 1, "qk_norm", "false", "qk_norm" },
		{ 1, "norm_eps", "0", "norm_eps" },
		{ 1, "cap_feat_dim", "40", "cap_feat_dim" },
		{ 1, "in_channels", "8", "in_channels" },
		{ 2, "num_key_value_heads", "3", "num_key_value_heads" },
		{ 2, "head_dim", "12", "head_dim" },
		{ 2, "head_dim", "null", "head_dim" },
		{ 2, "num_hidden_layers", "1", "num_hidden_layers" },
		{ 2, "hidden_act", "\"gelu\"", "gelu" },
		{ 2, "rope_scaling", "{\"type\": \"yarn\"}", "rope_scaling" },
		{ 3, "norm_num_groups", "7", "norm_num_groups" },
		{ 3, "norm_num_groups", "0", "norm_num_groups" },
		{ 3, "block_out_channels", "[16, 16, 32]", "block_out_channels" },
		{ 3, "down_block_types", "[\"AttnDownEncoderBlock2D\"]", "down_block_types" },
		{ 3, "act_fn", "\"relu\"", "act_fn" },
		{ 3, "scaling_factor", "0", "scaling_factor" },
		{ 4, "shift", "-3", "shift" },
	};
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct model m;
		struct err err = { 0 };
		int r;

		open_model(&m, "zimage-a", NULL);
		json_object_set_new(m.json[cases[i].file], cases[i].key,
				    json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
		r = check_model(&m, &err);
		if (r != -EINVAL || !strstr(err.text, cases[i].says) ||
		    !strstr(err.text, files[cases[i].file]))
			fail_msg("%s %s: %d %s", cases[i].key, cases[i].value, r, err.text);
	}
}

static void test_bad_tensors(void **unused)
{
	static const struct { struct change change; const char *says; } cases[] = {
		{ { "transformer/layers.1.feed_forward.w2.weight", "drop" },
		  "transformer/layers.1.feed_forward.w2.weight is missing" },
		{ { "transformer/x_pad_token", "shape" },
		  "transformer/x_pad_token is [2, 64], the configs want [1, 64]" },
		{ { "vae/decoder.conv_in.weight", "dtype" }, "vae/decoder.conv_in.weight is U8" },
		{ { "text_encoder/model.embed_tokens.weight", "shape" }, "[449, 48]" },
	};
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct model m;
		struct err err = { 0 };

		open_model(&m, "zimage-a", &cases[i].change);
		assert_int_equal(check_model(&m, &err), -EINVAL);
		if (!strstr(err.text, cases[i].says))
			fail_msg("case %zu: %s", i, err.text);
	}
}

/* What the encoder of the VAE and the last text layer hold is known and unused; this is not. */
static void test_tensor_of_no_part(void **unused)
{
	struct st_tensor extra = { .name = (char *)"layers.0.lora", .dtype = DTYPE_F32, .rank = 1,
				  .shape = { 4 } };
	struct model m;
	struct err err = { 0 };

	(void)unused;
	open_model(&m, "zimage-a", NULL);
	offer(&m, "transformer", &extra, NULL);
	assert_int_equal(check_model(&m, &err), -EINVAL);
	assert_non_null(strstr(err.text, "transformer/layers.0.lora is not part"));
}

static void test_many_problems_are_counted(void **unused)
{
	struct model m;
	struct err err = { 0 };

	(void)unused;
	open_model(&m, "zimage-a", NULL);
	json_object_set_new(m.json[1], "n_layers", json_integer(200));
	assert_int_equal(check_model(&m, &err), -EINVAL);
	assert_non_null(strstr(err.text,
			       "transformer/layers.2.attention.to_q.weight is missing; "));
	/* 198 blocks of 15 tensors. */
	assert_non_null(strstr(err.text, " more"));
	assert_true(strlen(err.text) < sizeof err.text - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_models_that_fit),
		cmocka_unit_test(test_models_that_edit),
		cmocka_unit_test(test_bad_configs),
		cmocka_unit_test(test_bad_tensors),
		cmocka_unit_test(test_tensor_of_no_part),
		cmocka_unit_test(test_many_problems_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
