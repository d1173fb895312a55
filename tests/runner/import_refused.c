/*
 * Folders and requests that are wrong in every way we know: the error names the thing,
 * and the store is as it was. Needs no GPU.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/runner/folder.h"
#include "tests/runner/import_world.h"

/* ---- folders that are wrong ---- */

static void no_model_index(const char *m)
{
	unlink(folder_path(m, "model_index.json"));
}

static void bad_model_index(const char *m)
{
	folder_write(m, "model_index.json", "{\"_class_name\":", 15);
}

static void other_pipeline(const char *m)
{
	json_t *index = folder_json(m, "model_index.json");

	json_object_set_new(index, "_class_name", json_string("StableDiffusionPipeline"));
	folder_write_json(m, "model_index.json", index);
}

static void no_vae(const char *m)
{
	folder_remove(folder_path(m, "vae"));
}

static void no_weights(const char *m)
{
	unlink(folder_path(m, VAE_WEIGHTS));
}

static void only_a_variant(const char *m)
{
	const char *variant = folder_path(m, "vae/diffusion_pytorch_model.fp16.safetensors");

	assert_int_equal(rename(folder_path(m, VAE_WEIGHTS), variant), 0);
}

static void cut_one_byte(const char *m)
{
	folder_truncate(m, TRANSFORMER, 1);
}

static void cut_half(const char *m)
{
	folder_truncate(m, TRANSFORMER, 700000);
}

static void cut_in_header(const char *m)
{
	folder_truncate(m, TRANSFORMER, -100);
}

static void cut_in_length(const char *m)
{
	folder_truncate(m, TRANSFORMER, -5);
}

static void huge_header(const char *m)
{
	size_t len;
	char *data = folder_read(m, VAE_WEIGHTS, &len);

	memcpy(data, "\0\0\0\0\0\0\0\x80", 8);
	folder_write(m, VAE_WEIGHTS, data, len);
	free(data);
}

/* A tensor of the header, changed, back into the file. */
static void set_offsets(const char *m, const char *tensor, json_int_t begin, json_int_t end)
{
	json_t *header = folder_header(m, TRANSFORMER);

	json_object_set_new(json_object_get(header, tensor), "data_offsets",
			    json_pack("[II]", begin, end));
	folder_set_header(m, TRANSFORMER, header);
}

static void overlapping(const char *m)
{
	set_offsets(m, "x_pad_token", 0, 128);
}

static void out_of_range(const char *m)
{
	set_offsets(m, "x_pad_token", 1 << 30, (1 << 30) + 128);
}

static void backwards(const char *m)
{
	set_offsets(m, "x_pad_token", 128, 0);
}

static void wrong_shape(const char *m)
{
	json_t *header = folder_header(m, TRANSFORMER);

	json_object_set_new(json_object_get(header, "all_x_embedder.2-1.weight"), "shape",
			    json_pack("[ii]", 32, 128));
	folder_set_header(m, TRANSFORMER, header);
}

/* Renamed: one is missing and one is too many. */
static void missing_tensor(const char *m)
{
	json_t *header = folder_header(m, TRANSFORMER);

	json_object_set(header, "unknown.weight",
			json_object_get(header, "layers.1.attention.to_q.weight"));
	json_object_del(header, "layers.1.attention.to_q.weight");
	folder_set_header(m, TRANSFORMER, header);
}

static void eight_bit_float(const char *m)
{
	json_t *header = folder_header(m, TRANSFORMER);
	json_t *tensor = json_object_get(header, "layers.0.attention.to_q.weight");

	json_object_set_new(tensor, "dtype", json_string("F8_E5M2"));
	json_object_set_new(tensor, "shape", json_pack("[ii]", 64, 128));
	folder_set_header(m, TRANSFORMER, header);
}

/* ---- weights that other programs quantised ---- */

static void set_config(const char *m, const char *member, json_t *value)
{
	json_t *config = folder_json(m, "transformer/config.json");

	json_object_set_new(config, member, value);
	folder_write_json(m, "transformer/config.json", config);
}

static void mlx_config(const char *m)
{
	set_config(m, "quantization", json_pack("{si si}", "group_size", 64, "bits", 4));
}

/* As its newer versions write it, for programs that look for that member. */
static void mlx_copied_config(const char *m)
{
	set_config(m, "quantization_config", json_pack("{si si}", "group_size", 32, "bits", 8));
}

static void bitsandbytes_config(const char *m)
{
	set_config(m, "quantization_config", json_pack("{ss sb}", "quant_method", "bitsandbytes", "load_in_4bit", 1));
}

/* A tensor of another name and type in the place of one, which keeps its bytes. */
static void rename_tensor(const char *m, const char *from, const char *to, const char *dtype, json_t *shape)
{
	json_t *header = folder_header(m, TRANSFORMER), *tensor = json_incref(json_object_get(header, from));

	json_object_del(header, from);
	json_object_set_new(tensor, "dtype", json_string(dtype));
	json_object_set_new(tensor, "shape", shape);
	json_object_set_new(header, to, tensor);
	folder_set_header(m, TRANSFORMER, header);
}

#define TO_Q "layers.0.attention.to_q"

static void mlx_tensors(const char *m)
{
	rename_tensor(m, TO_Q ".weight", TO_Q ".scales", "BF16", json_pack("[ii]", 64, 64));
}

static void compressed_tensors(const char *m)
{
	set_config(m, "quantization_config", json_pack("{ss ss}", "quant_method", "compressed-tensors",
						       "format", "pack-quantized"));
	rename_tensor(m, TO_Q ".weight", TO_Q ".weight_packed", "I32", json_pack("[ii]", 64, 32));
}

static void bitsandbytes_tensors(const char *m)
{
	rename_tensor(m, TO_Q ".weight", TO_Q ".weight.quant_state.bitsandbytes__nf4", "U8", json_pack("[i]", 8192));
}

static void nameless_bytes(const char *m)
{
	rename_tensor(m, TO_Q ".weight", TO_Q ".weight", "U8", json_pack("[ii]", 64, 128));
}

static void odd_heads(const char *m)
{
	json_t *config = folder_json(m, "transformer/config.json");

	json_object_set_new(config, "n_heads", json_integer(7));
	json_object_set_new(config, "n_kv_heads", json_integer(7));
	folder_write_json(m, "transformer/config.json", config);
}

static void bad_config(const char *m)
{
	folder_write(m, "vae/config.json", "{]", 2);
}

static void bad_tokenizer(const char *m)
{
	folder_write(m, "tokenizer/tokenizer.json", "{\"model\"", 8);
}

static void outside_link(const char *m)
{
	no_weights(m);
	assert_int_equal(symlink("/etc/passwd", folder_path(m, VAE_WEIGHTS)), 0);
}

static void pipe_as_weights(const char *m)
{
	no_weights(m);
	assert_int_equal(mkfifo(folder_path(m, VAE_WEIGHTS), 0600), 0);
}

static void missing_shard(const char *m)
{
	unlink(folder_path(m, SHARD("4")));
}

static void index_with_path(const char *m)
{
	json_t *index = folder_json(m, INDEX);

	json_object_set_new(json_object_get(index, "weight_map"), "x_pad_token",
			    json_string("../../etc/passwd.safetensors"));
	folder_write_json(m, INDEX, index);
}

static void index_names_unknown_tensor(const char *m)
{
	json_t *index = folder_json(m, INDEX);

	json_object_set_new(json_object_get(index, "weight_map"), "layers.99.weight",
			    json_string("diffusion_pytorch_model-00001-of-00006.safetensors"));
	folder_write_json(m, INDEX, index);
}

static void shard_not_in_index(const char *m)
{
	json_t *index = folder_json(m, INDEX), *map = json_object_get(index, "weight_map"), *value;
	const char *tensor;
	void *next;

	json_object_foreach_safe(map, next, tensor, value)
		if (strstr(json_string_value(value), "00004-of"))
			json_object_del(map, tensor);
	folder_write_json(m, INDEX, index);
}

static void duplicate_tensor(const char *m)
{
	size_t len;
	char *data = folder_read(m, SHARD("1"), &len);

	folder_write(m, SHARD("2"), data, len);
	free(data);
}

static void bad_index(const char *m)
{
	folder_write(m, INDEX, "{\"weight_map\":[]}", 17);
}

static void whole_file_beside_shards(const char *m)
{
	size_t len;
	char *data = folder_read(m, SHARD("1"), &len);

	folder_write(m, TRANSFORMER, data, len);
	free(data);
}

static const struct wrong {
	const char *what, *model;
	void (*spoil)(const char *model);
	const char *texts[3];           /* all in the error */
} wrongs[] = {
	{ "no model_index.json", "zimage-a", no_model_index, { "model_index.json" } },
	{ "model_index.json cut", "zimage-a", bad_model_index, { "failed to parse model_index.json" } },
	{ "other pipeline", "zimage-a", other_pipeline, { "StableDiffusionPipeline", "ZImagePipeline" } },
	{ "no vae", "zimage-a", no_vae, { "vae", "model_index.json" } },
	{ "no weights", "zimage-a", no_weights, { "weights found in", "/vae" } },
	{ "only a variant", "zimage-a", only_a_variant,
	  { "vae", "diffusion_pytorch_model.fp16.safetensors" } },
	{ "cut by a byte", "zimage-a", cut_one_byte, { TRANSFORMER } },
	{ "cut by half", "zimage-a", cut_half, { TRANSFORMER } },
	{ "cut in the header", "zimage-a", cut_in_header, { TRANSFORMER, "header" } },
	{ "cut in the length", "zimage-a", cut_in_length, { TRANSFORMER, "header" } },
	{ "header of 2^63", "zimage-a", huge_header, { VAE_WEIGHTS, "header" } },
	{ "overlapping", "zimage-a", overlapping, { TRANSFORMER } },
	{ "out of range", "zimage-a", out_of_range, { TRANSFORMER, "x_pad_token" } },
	{ "backwards", "zimage-a", backwards, { TRANSFORMER, "x_pad_token" } },
	{ "wrong shape", "zimage-a", wrong_shape, { "all_x_embedder.2-1.weight" } },
	{ "missing tensor", "zimage-a", missing_tensor, { "layers.1.attention.to_q.weight" } },
	{ "fp8", "zimage-a", eight_bit_float, { "F8_E5M2", "layers.0.attention.to_q.weight" } },
	{ "MLX by config", "zimage-a", mlx_config, { "transformer/config.json", "MLX (4 bits, groups of 64)", "--quantize" } },
	{ "MLX by its copy", "zimage-a", mlx_copied_config, { "MLX (8 bits, groups of 32)", "bf16" } },
	{ "bitsandbytes", "zimage-a", bitsandbytes_config, { "transformer/config.json", "bitsandbytes", "bf16" } },
	{ "MLX by tensors", "zimage-a", mlx_tensors, { TRANSFORMER, "MLX", TO_Q ".scales" } },
	{ "compressed-tensors", "zimage-a", compressed_tensors, { TRANSFORMER, "compressed-tensors", "weight_packed" } },
	{ "bitsandbytes' tensors", "zimage-a", bitsandbytes_tensors, { TRANSFORMER, "bitsandbytes" } },
	{ "bytes of nobody", "zimage-a", nameless_bytes, { TRANSFORMER, "another program", TO_Q ".weight is U8" } },
	{ "heads do not divide", "zimage-a", odd_heads, { "transformer/config.json" } },
	{ "bad config", "zimage-a", bad_config, { "failed to parse vae/config.json" } },
	{ "bad tokenizer", "zimage-a", bad_tokenizer, { "failed to parse tokenizer/tokenizer.json" } },
	{ "link outside", "zimage-a", outside_link, { VAE_WEIGHTS, "outside" } },
	{ "a pipe", "zimage-a", pipe_as_weights, { VAE_WEIGHTS, "regular file" } },
	{ "missing shard", "zimage-b", missing_shard, { "incomplete", "00004-of-00006" } },
	{ "index with a path", "zimage-b", index_with_path, { "../../etc/passwd", INDEX } },
	{ "index names unknown", "zimage-b", index_names_unknown_tensor,
	  { "source model is incomplete: tensor layers.99.weight" } },
	{ "shard not in index", "zimage-b", shard_not_in_index, { SHARD("4"), "missing from the index" } },
	{ "duplicate tensor", "zimage-b", duplicate_tensor,
	  { "duplicate tensor", "00001-of", "00002-of" } },
	{ "bad index", "zimage-b", bad_index, { INDEX, "weight_map" } },
	{ "ambiguous", "zimage-b", whole_file_beside_shards, { "ambiguous source" } },
};

static void check_wrong(const struct wrong *c)
{
	struct import_result result;
	struct err err = { 0 };
	struct world w;

	world_init(&w, c->model);
	c->spoil(w.model);
	if (world_import(&w, (struct msg_import){ 0 }, &result, &err) != -EINVAL)
		fail_msg("%s: not refused as invalid: %s", c->what, err.text);
	for (int i = 0; i < 3 && c->texts[i]; i++)
		if (!strstr(err.text, c->texts[i]))
			fail_msg("%s: '%s' does not say '%s'", c->what, err.text, c->texts[i]);
	assert_int_equal(folder_count(w.store), 0);
	world_finish(&w);
}

static void wrong_folders(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++)
		check_wrong(&wrongs[i]);
}

/* ---- requests that are wrong ---- */

static void check_request(struct msg_import request, const char *text)
{
	struct import_result result;
	struct err err = { 0 };
	struct world w;

	world_init(&w, "zimage-a");
	assert_int_equal(world_import(&w, request, &result, &err), -EINVAL);
	if (!strstr(err.text, text))
		fail_msg("'%s' does not say '%s'", err.text, text);
	assert_int_equal(folder_count(w.store), 0);
	world_finish(&w);
	json_decref(request.parameters);
}

static void wrong_requests(void **state)
{
	static const struct {
		const char *parameters, *text;
	} cases[] = {
		{ "{\"colour\":1}", "unknown parameter 'colour'" },
		{ "{\"width\":\"wide\"}", "parameter 'width'" },
		{ "{\"width\":63}", "from 64 to 4096" },
		{ "{\"height\":4097}", "parameter 'height'" },
		{ "{\"steps\":1.5}", "parameter 'steps' must be an integer" },
		{ "{\"guidance\":-1}", "parameter 'guidance' must be a number" },
		{ "{\"negative_prompt\":3}", "parameter 'negative_prompt' must be a string" },
		{ "{\"step_cache\":\"sometimes\"}", "step_cache must be off, teacache or reference" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		check_request((struct msg_import){
			.parameters = json_loads(cases[i].parameters, 0, NULL) }, cases[i].text);
	check_request((struct msg_import){ .quantize = TEXT("q5") }, "unsupported --quantize \"q5\"");
	check_request((struct msg_import){ .model = TEXT("../x") }, "invalid model name");
	check_request((struct msg_import){ .requires = TEXT("1.x") }, "valid semver");
	check_request((struct msg_import){ .requires = TEXT("0.18.9") }, "below the minimum");
	check_request((struct msg_import){ .requires = TEXT("0.19.0-rc1") }, "below the minimum");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_folders),
		cmocka_unit_test(wrong_requests),
	};

	return cmocka_run_group_tests_name("import_refused", tests, NULL, NULL);
}
