/*
 * Folders that are right: what lies in the store afterwards, also when the import was
 * cancelled or the disk was full. Needs no GPU.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/safetensors.h"
#include "common/store.h"
#include "tests/runner/folder.h"
#include "tests/runner/import_world.h"

static const struct layer *next_tensor(const struct manifest *m, size_t *i)
{
	while (*i < m->n_layers && strcmp(m->layers[*i].media_type, MEDIA_TENSOR) != 0)
		(*i)++;
	return *i < m->n_layers ? &m->layers[(*i)++] : NULL;
}

/* Every tensor of the source file is a blob with the same type, shape and bytes. */
static void check_tensors(struct world *w, const struct manifest *m, const char *component,
			  const char *file, size_t *i)
{
	char path[PATH_MAX], name[512];
	struct safetensors source;
	struct store *s;

	snprintf(name, sizeof name, "%s/%s", component, file);
	assert_int_equal(safetensors_map(folder_path(w->model, name), &source, NULL), 0);
	assert_int_equal(store_open(w->store, &s, NULL), 0);
	for (size_t t = 0; t < source.n_tensors; t++) {
		const struct st_tensor *want = &source.tensors[t], *have;
		const struct layer *layer = next_tensor(m, i);
		struct safetensors blob;

		snprintf(name, sizeof name, "%s/%s", component, want->name);
		assert_non_null(layer);
		assert_string_equal(layer->name, name);
		assert_string_equal(layer->dtype, dtype_name(want->dtype));
		assert_int_equal(json_array_size(layer->shape), want->rank);
		store_blob_path(s, layer->digest, path, sizeof path);
		assert_int_equal(safetensors_map(path, &blob, NULL), 0);
		assert_int_equal(blob.file_size, layer->size);
		assert_int_equal(blob.data_start % 64, 0);
		have = safetensors_pick(&blob, layer->name);
		assert_non_null(have);
		assert_int_equal(have->dtype, want->dtype);
		assert_int_equal(have->rank, want->rank);
		assert_memory_equal(have->shape, want->shape, want->rank * sizeof want->shape[0]);
		assert_int_equal(have->end - have->begin, want->end - want->begin);
		assert_memory_equal(blob.map + blob.data_start + have->begin,
				    source.map + source.data_start + want->begin,
				    want->end - want->begin);
		safetensors_finish(&blob);
	}
	store_close(s);
	safetensors_finish(&source);
}

static void check_json_order(const struct manifest *m)
{
	static const char *const order[] = {
		"model_index.json", "text_encoder/config.json", "text_encoder/generation_config.json",
		"transformer/config.json", "vae/config.json", "scheduler/scheduler_config.json",
		"tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json", "tokenizer/vocab.json",
		"tokenizer/merges.txt",
	};
	size_t n = 0;

	for (size_t i = 0; i < m->n_layers; i++)
		if (strcmp(m->layers[i].media_type, MEDIA_JSON) == 0)
			assert_string_equal(m->layers[i].name, order[n++]);
	assert_int_equal(n, sizeof order / sizeof order[0]);
}

static void whole_folder(void **state)
{
	struct import_result result;
	struct manifest *m;
	struct world w;
	size_t i = 0;
	char *text;

	(void)state;
	world_init(&w, "zimage-a");
	world_must_import(&w, (struct msg_import){ 0 }, &result);
	m = world_manifest(&w, "m");
	assert_string_equal(result.digest, m->digest);
	assert_int_equal(result.layers, m->n_layers);
	check_tensors(&w, m, "text_encoder", "model.safetensors", &i);
	check_tensors(&w, m, "transformer", "diffusion_pytorch_model.safetensors", &i);
	check_tensors(&w, m, "vae", "diffusion_pytorch_model.safetensors", &i);
	assert_null(next_tensor(m, &i));
	check_json_order(m);

	text = world_blob(&w, &m->config);
	assert_string_equal(text, "{\"model_format\":\"safetensors\",\"model_family\":\"\","
		"\"model_families\":null,\"model_type\":\"\",\"file_type\":\"\","
		"\"requires\":\"0.19.0\",\"capabilities\":[\"image\"],\"architecture\":\"\","
		"\"os\":\"\",\"rootfs\":{\"type\":\"\",\"diff_ids\":null}}");
	free(text);
	text = world_blob(&w, manifest_find(m, MEDIA_JSON, "model_index.json"));
	assert_non_null(strstr(text, "{\n    \"architecture\": \"ZImagePipeline\",\n"
				     "    \"parameter_count\": 1162931,\n"));
	assert_non_null(strstr(text, "\"quantization\": \"bfloat16\""));
	assert_null(strstr(text, "_class_name"));
	free(text);
	assert_non_null(strstr(w.statuses, "importing " TRANSFORMER " (101 tensors)\n"));
	assert_non_null(strstr(w.statuses, "importing config vae/config.json\n"));
	assert_non_null(strstr(w.statuses, "writing manifest for m:latest\n"));
	manifest_free(m);
	world_finish(&w);
}

static void sharded_folder(void **state)
{
	struct import_result result;
	struct manifest *m;
	struct world w;
	char file[128];
	size_t i = 0;

	(void)state;
	world_init(&w, "zimage-b");
	/* A variant beside an index is not taken. */
	folder_write(w.model, "transformer/diffusion_pytorch_model.fp16.safetensors", "x", 1);
	world_must_import(&w, (struct msg_import){ 0 }, &result);
	m = world_manifest(&w, "m");
	check_tensors(&w, m, "text_encoder", "model.safetensors", &i);
	for (int n = 1; n <= 6; n++) {
		snprintf(file, sizeof file, "diffusion_pytorch_model-0000%d-of-00006.safetensors", n);
		check_tensors(&w, m, "transformer", file, &i);
	}
	check_tensors(&w, m, "vae", "diffusion_pytorch_model.safetensors", &i);
	assert_null(next_tensor(m, &i));
	assert_non_null(manifest_find(m, MEDIA_JSON, "tokenizer/chat_template.jinja"));
	assert_null(manifest_find(m, MEDIA_JSON, INDEX));
	manifest_free(m);
	world_finish(&w);
}

static uint64_t elements_of(const char *model, const char *file)
{
	struct safetensors st;
	uint64_t n = 0;

	assert_int_equal(safetensors_map(folder_path(model, file), &st, NULL), 0);
	for (size_t i = 0; i < st.n_tensors; i++)
		n += st_tensor_elements(&st.tensors[i]);
	safetensors_finish(&st);
	return n;
}

/* As the headers of the sources sum up, each component's and all. */
static void parameter_counts(void **state)
{
	struct import_result result;
	struct manifest *m;
	struct world w;
	uint64_t encoder, transformer, vae;
	json_t *index, *counts;
	char *text;

	(void)state;
	world_init(&w, "zimage-a");
	/* A variant beside the one file is not taken, nor counted. */
	folder_write(w.model, "vae/diffusion_pytorch_model.fp16.safetensors", "x", 1);
	world_must_import(&w, (struct msg_import){ 0 }, &result);
	m = world_manifest(&w, "m");
	text = world_blob(&w, manifest_find(m, MEDIA_JSON, "model_index.json"));
	index = json_loads(text, 0, NULL);
	counts = json_object_get(index, "parameter_counts");
	encoder = elements_of(w.model, "text_encoder/model.safetensors");
	transformer = elements_of(w.model, TRANSFORMER);
	vae = elements_of(w.model, VAE_WEIGHTS);
	assert_int_equal(json_integer_value(json_object_get(counts, "text_encoder")), encoder);
	assert_int_equal(json_integer_value(json_object_get(counts, "transformer")), transformer);
	assert_int_equal(json_integer_value(json_object_get(counts, "vae")), vae);
	assert_int_equal(json_integer_value(json_object_get(index, "parameter_count")), encoder + transformer + vae);
	json_decref(index);
	free(text);
	manifest_free(m);
	world_finish(&w);
}

/* The reference made a model of the same folder: same layers in the same order. */
static void same_as_the_reference(void **state)
{
	struct import_result result;
	struct manifest *ours, *theirs;
	char command[2 * PATH_MAX];
	struct world w;

	(void)state;
	world_init(&w, "zimage-a");
	world_must_import(&w, (struct msg_import){ 0 }, &result);
	ours = world_manifest(&w, "m");
	snprintf(command, sizeof command, "tar -xzf '%s/reference-store-v2.tar.gz' -C '%s'",
		 TEST_DATA, w.root);
	assert_int_equal(system(command), 0);
	free(w.store);
	w.store = strdup(folder_path(w.root, "models"));
	theirs = world_manifest(&w, "za");
	/* It leaves merges.txt behind, which comes last here. */
	assert_int_equal(ours->n_layers, theirs->n_layers + 1);
	for (size_t i = 0; i < theirs->n_layers; i++) {
		assert_string_equal(ours->layers[i].name, theirs->layers[i].name);
		assert_string_equal(ours->layers[i].media_type, theirs->layers[i].media_type);
	}
	assert_string_equal(ours->config.digest, theirs->config.digest);
	manifest_free(ours);
	manifest_free(theirs);
	world_finish(&w);
}

/* A download cache: the snapshot is links into ../../blobs. */
static void cache_layout(void **state)
{
	struct import_result result;
	char blob[64], target[80];
	struct world w;

	(void)state;
	world_init(&w, "zimage-a");
	assert_int_equal(mkdir(folder_path(w.root, "snapshots"), 0755), 0);
	assert_int_equal(mkdir(folder_path(w.root, "blobs"), 0755), 0);
	assert_int_equal(rename(w.model, folder_path(w.root, "snapshots/1")), 0);
	free(w.model);
	w.model = strdup(folder_path(w.root, "snapshots/1"));
	snprintf(blob, sizeof blob, "blobs/%040d", 7);
	snprintf(target, sizeof target, "../../../%s", blob);
	assert_int_equal(rename(folder_path(w.model, VAE_WEIGHTS), folder_path(w.root, blob)), 0);
	assert_int_equal(symlink(target, folder_path(w.model, VAE_WEIGHTS)), 0);
	world_must_import(&w, (struct msg_import){ 0 }, &result);
	world_finish(&w);
}

static void same_input_same_digest(void **state)
{
	struct import_result first, second;
	struct world a, b;
	size_t blobs;

	(void)state;
	world_init(&a, "zimage-a");
	world_init(&b, "zimage-a");
	world_must_import(&a, (struct msg_import){ 0 }, &first);
	world_must_import(&b, (struct msg_import){ 0 }, &second);
	assert_string_equal(first.digest, second.digest);
	world_must_import(&a, (struct msg_import){ .model = TEXT("q"), .quantize = TEXT("int8") }, &first);
	world_must_import(&b, (struct msg_import){ .model = TEXT("q"), .quantize = TEXT("int8") }, &second);
	assert_string_equal(first.digest, second.digest);

	/* Under another name nothing but the tag is new. */
	blobs = folder_count(folder_path(a.store, "blobs"));
	world_must_import(&a, (struct msg_import){ .model = TEXT("other") }, &second);
	assert_int_equal(folder_count(folder_path(a.store, "blobs")), blobs);
	world_finish(&a);
	world_finish(&b);
}

static void modelfile_lines(void **state)
{
	struct import_result result;
	struct manifest *m;
	struct world w;
	char *text;

	(void)state;
	world_init(&w, "zimage-a");
	folder_write(w.model, "LICENSE.md", "free", 4);
	world_must_import(&w, (struct msg_import){ 0 }, &result);
	m = world_manifest(&w, "m");
	text = world_blob(&w, manifest_find(m, MEDIA_LICENSE, NULL));
	assert_string_equal(text, "free");
	free(text);
	manifest_free(m);

	json_t *parameters = json_pack("{si sf si}", "width", 128, "steps", 9.0, "num_ctx", 5);
	json_t *licenses = json_pack("[ss]", "one", "two");

	world_must_import(&w, (struct msg_import){
		.parameters = parameters, .licenses = licenses, .system = TEXT("sys"),
		.template = TEXT("tem"), .requires = TEXT("0.20.1") }, &result);
	m = world_manifest(&w, "m");
	text = world_blob(&w, manifest_find(m, MEDIA_PARAMS, NULL));
	assert_string_equal(text, "{\"steps\":9,\"width\":128}");
	free(text);
	assert_string_equal(m->layers[m->n_layers - 5].media_type, MEDIA_TEMPLATE);
	assert_string_equal(m->layers[m->n_layers - 4].media_type, MEDIA_SYSTEM);
	assert_string_equal(m->layers[m->n_layers - 3].media_type, MEDIA_LICENSE);
	assert_string_equal(m->layers[m->n_layers - 2].media_type, MEDIA_LICENSE);
	text = world_blob(&w, &m->config);
	assert_non_null(strstr(text, "\"requires\":\"0.20.1\""));
	free(text);
	manifest_free(m);
	json_decref(parameters);
	json_decref(licenses);
	world_finish(&w);
}

static void from_a_model(void **state)
{
	json_t *first = json_pack("{si si}", "width", 128, "steps", 9);
	json_t *second = json_pack("{si}", "steps", 4);
	json_t *licenses = json_pack("[s]", "one");
	struct import_result result;
	struct manifest *base, *m;
	struct world w;
	struct err err;
	char *text;

	(void)state;
	world_init(&w, "zimage-a");
	world_must_import(&w, (struct msg_import){ .model = TEXT("base"), .parameters = first,
						   .licenses = licenses }, &result);
	world_must_import(&w, (struct msg_import){ .from = TEXT("base"), .parameters = second,
						   .licenses = licenses, .system = TEXT("sys") }, &result);
	base = world_manifest(&w, "base");
	m = world_manifest(&w, "m");
	assert_int_equal(m->n_layers, base->n_layers + 1);
	for (size_t i = 0; i < base->n_layers - 2; i++) {
		assert_string_equal(m->layers[i].digest, base->layers[i].digest);
		assert_string_equal(m->layers[i].from, "base:latest");
	}
	text = world_blob(&w, manifest_find(m, MEDIA_PARAMS, NULL));
	assert_string_equal(text, "{\"steps\":4,\"width\":128}");
	free(text);
	text = world_blob(&w, &m->config);
	assert_non_null(strstr(text, "\"capabilities\":[\"image\"],\"architecture\":\"amd64\","
				     "\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:"));
	free(text);
	assert_int_equal(world_import(&w, (struct msg_import){ .from = TEXT("nothing") }, &result, &err),
			 -ENOENT);
	assert_string_equal(err.text, "model 'nothing:latest' not found");

	/* What the request says of the config, on top of what it says already. */
	json_t *info = json_pack("{ss ss ss si s[ss]}", "model_family", "f", "parameter_size", "1B", "quantization_level",
				 "Q9", "context_length", 77, "capabilities", "image", "more");

	world_must_import(&w, (struct msg_import){ .from = TEXT("base"), .info = info }, &result);
	manifest_free(m);
	m = world_manifest(&w, "m");
	text = world_blob(&w, &m->config);
	assert_non_null(strstr(text, "\"model_family\":\"f\",\"model_families\":[\"f\"],\"model_type\":\"1B\","
				     "\"file_type\":\"Q9\""));
	assert_non_null(strstr(text, "\"capabilities\":[\"image\",\"more\"],\"context_length\":77,"));
	free(text);
	world_must_import(&w, (struct msg_import){ .info = info, .quantize = TEXT("int8") }, &result);
	manifest_free(m);
	m = world_manifest(&w, "m");
	text = world_blob(&w, &m->config);
	assert_non_null(strstr(text, "\"file_type\":\"Q9\""));
	free(text);
	json_decref(info);

	/* Edited in place. */
	world_must_import(&w, (struct msg_import){ .model = TEXT("m"), .from = TEXT("m"),
						   .system = TEXT("other") }, &result);
	manifest_free(m);
	m = world_manifest(&w, "m");
	text = world_blob(&w, manifest_find(m, MEDIA_SYSTEM, NULL));
	assert_string_equal(text, "other");
	free(text);
	manifest_free(m);
	manifest_free(base);
	json_decref(first);
	json_decref(second);
	json_decref(licenses);
	world_finish(&w);
}

/* ---- imports that end early ---- */

static void cancel(void **state)
{
	struct import_result result, again;
	struct world w;
	size_t n;

	(void)state;
	world_init(&w, "zimage-a");
	w.cancel_after = 101;
	assert_int_equal(world_import(&w, (struct msg_import){ 0 }, &result, NULL), -ECANCELED);
	n = folder_count(folder_path(w.store, "blobs"));
	assert_true(n > 10 && n < 200);
	assert_int_equal(folder_count(w.store), n);
	world_must_import(&w, (struct msg_import){ 0 }, &again);
	world_finish(&w);
}

/* What an earlier import left whole is not written again; what was cut since is. */
static void goes_on(void **state)
{
	struct import_result first, again;
	struct manifest *m;
	char path[512];
	struct stat st;
	struct world w;

	(void)state;
	world_init(&w, "zimage-a");
	world_must_import(&w, (struct msg_import){ 0 }, &first);
	assert_null(strstr(w.statuses, "checking"));
	m = world_manifest(&w, "m");
	snprintf(path, sizeof path, "%s/blobs/sha256-%s", w.store, m->layers[0].digest + 7);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, 100), 0);
	world_must_import(&w, (struct msg_import){ 0 }, &again);
	assert_string_equal(first.digest, again.digest);
	assert_non_null(strstr(w.statuses, "checking "));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, m->layers[0].size);
	manifest_free(m);
	world_finish(&w);
}

/* A model that is there needs no room to be made again. */
static void full_disk_again(void **state)
{
	struct import_result result;
	struct world w;
	struct err err = { 0 };
	int r = 0;

	(void)state;
	if (geteuid() != 0)
		skip();
	world_init(&w, "zimage-a");
	assert_int_equal(mkdir(w.store, 0755), 0);
	if (mount("tmpfs", w.store, "tmpfs", 0, "size=4500k") == 0) {
		r = world_import(&w, (struct msg_import){ 0 }, &result, &err);
		if (r == 0)
			r = world_import(&w, (struct msg_import){ .system = TEXT("new") }, &result, &err);
		umount2(w.store, MNT_DETACH);
	}
	if (r < 0)
		fail_msg("%s", err.text);
	world_finish(&w);
}

static void replaced_blobs_go(void **state)
{
	struct import_result result;
	struct world w;
	size_t n;

	(void)state;
	world_init(&w, "zimage-b");
	world_must_import(&w, (struct msg_import){ .model = TEXT("x"), .system = TEXT("first") },
			  &result);
	n = folder_count(folder_path(w.store, "blobs"));
	world_must_import(&w, (struct msg_import){ .model = TEXT("x"), .system = TEXT("second") },
			  &result);
	assert_int_equal(folder_count(folder_path(w.store, "blobs")), n);
	world_finish(&w);
}

/* early: nothing was written yet. */
static void check_disk_full(struct world *w, const char *size, bool early)
{
	struct import_result result;
	struct err err = { 0 };
	size_t left;
	int r;

	if (mount("tmpfs", w->store, "tmpfs", 0, size) < 0) {
		print_message("skipped: cannot mount a tmpfs: %s\n", strerror(errno));
		return;
	}
	r = world_import(w, (struct msg_import){ 0 }, &result, &err);
	left = folder_count(w->store);
	umount2(w->store, MNT_DETACH);
	assert_int_equal(r, -ENOSPC);
	assert_non_null(strstr(err.text, "space"));
	if (early) {
		unsigned long long needed = 0, available = 0;
		const char *bytes = strchr(err.text, '(');

		/* "needs 2.4 MB (2400000 bytes), 1.0 MB (1000000 bytes) are free" */
		assert_non_null(bytes);
		assert_int_equal(sscanf(bytes, "(%llu bytes), %*s %*s (%llu bytes) are free", &needed, &available), 2);
		assert_true(needed > 2 * 1162931 && needed < 4 * 1162931 + (1 << 20));
		assert_true(available > 0 && available <= 1 << 20);
		assert_null(strstr(w->statuses, "importing " TRANSFORMER));
	}
	assert_int_equal(left, 0);
}

static void disk_full(void **state)
{
	struct world w;

	(void)state;
	if (geteuid() != 0)
		skip();
	world_init(&w, "zimage-a");
	assert_int_equal(mkdir(w.store, 0755), 0);
	check_disk_full(&w, "size=1m", true);
	/* Room by the count of bytes, but not of files. */
	check_disk_full(&w, "size=64m,nr_inodes=40", false);
	world_finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_folder),
		cmocka_unit_test(sharded_folder),
		cmocka_unit_test(parameter_counts),
		cmocka_unit_test(same_as_the_reference),
		cmocka_unit_test(cache_layout),
		cmocka_unit_test(same_input_same_digest),
		cmocka_unit_test(modelfile_lines),
		cmocka_unit_test(from_a_model),
		cmocka_unit_test(cancel),
		cmocka_unit_test(goes_on),
		cmocka_unit_test(full_disk_again),
		cmocka_unit_test(replaced_blobs_go),
		cmocka_unit_test(disk_full),
	};

	return cmocka_run_group_tests_name("import_made", tests, NULL, NULL);
}
