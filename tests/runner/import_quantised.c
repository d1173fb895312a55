/*
 * Models quantised while they are made, from a folder and from a model, and sources that
 * are stored in eight-bit floats: which tensors, which bytes, which texts. Needs no GPU.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "common/safetensors.h"
#include "common/store.h"
#include "common/text.h"
#include "runner/quant/encode.h"
#include "runner/weights.h"
#include "tests/golden.h"
#include "tests/runner/folder.h"
#include "tests/runner/import_world.h"

static const struct type {
	const char *asked, *stored, *index;
	struct quant quant;
} types[] = {
	{ "fp8", "int8", "FP8", { QUANT_INT8, 64, 1, DTYPE_BF16, 1 } },
	{ "Q8", "int8", "Q8", { QUANT_INT8, 64, 1, DTYPE_BF16, 1 } },
	{ "int4", "int4", "INT4", { QUANT_INT4, 64, 1, DTYPE_BF16, 1 } },
	{ "mxfp8", "mxfp8", "MXFP8", { QUANT_MXFP8, 32, 1, DTYPE_NONE, 1 } },
	{ "mxfp4", "mxfp4", "MXFP4", { QUANT_MXFP4, 32, 1, DTYPE_NONE, 1 } },
	{ "nvfp4", "nvfp4", "NVFP4", { QUANT_NVFP4, 16, 1, DTYPE_NONE, 1 } },
};

static void map_layer(struct world *w, const struct layer *layer, struct safetensors *ret)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/blobs/sha256-%s", w->store, layer->digest + 7);
	golden_map(path, ret);
}

static const unsigned char *data_of(const struct safetensors *st, const struct st_tensor *t)
{
	return st->map + st->data_start + t->begin;
}

static void expect_array(const struct safetensors *st, const char *name, const char *suffix, const void *want,
			 uint64_t bytes)
{
	char key[512];
	const struct st_tensor *t;

	snprintf(key, sizeof key, "%s%s", name, suffix);
	t = safetensors_find(st, key);
	if (!t || t->end - t->begin != bytes)
		fail_msg("%s has not %llu bytes", key, (unsigned long long)bytes);
	assert_memory_equal(data_of(st, t), want, bytes);
}

/* How far an element may be from its code's value, given its group's least and largest. */
static float bound_of(enum quant_format format, float w, float lo, float hi)
{
	const float most = fmaxf(fabsf(lo), fabsf(hi)), range = hi - lo;

	switch (format) {
	/* Half a step, up to one more where the edge was rounded to a code; scale and bias are rounded, too. */
	case QUANT_INT8: return 1.55f * range / 255 + (range + 2 * most) / 256;
	case QUANT_INT4: return 1.55f * range / 15 + (range + 2 * most) / 256;
	/* Three bits of mantissa, or half of the least step. */
	case QUANT_MXFP8: return fabsf(w) / 16 + most / 448 / 512;
	/* Half of the step from 4 to 6, by a scale that may be twice what it need be, or nearly that. */
	case QUANT_MXFP4: return most / 3;
	default: return most / 4;
	}
}

static void check_errors(const struct quant_rows *r, const float *floats, uint32_t rows, const char *name)
{
	const uint32_t cols = r->cols, group = r->quant.group;
	float *got = malloc(cols * sizeof *got);

	for (uint32_t i = 0; i < rows; i++) {
		const float *want = floats + (size_t)i * cols;

		quant_decode(r, i, 0, cols, got);
		for (uint32_t k = 0; k < cols; k += group) {
			float lo = want[k], hi = want[k];

			for (uint32_t j = k; j < k + group; j++) {
				lo = fminf(lo, want[j]);
				hi = fmaxf(hi, want[j]);
			}
			for (uint32_t j = k; j < k + group; j++)
				if (!(fabsf(got[j] - want[j]) <= bound_of(r->quant.format, want[j], lo, hi)))
					fail_msg("%s [%u, %u]: %g for %g, group from %g to %g", name, i, j, got[j],
						 want[j], lo, hi);
		}
	}
	free(got);
}

/* The layer's blob is what the plain one's floats are encoded to, and decodes to nearly them. */
static void check_blob(struct world *w, const struct layer *plain, const struct layer *layer, const struct type *type)
{
	struct safetensors from, st;
	const struct st_tensor *t;
	struct quant q = type->quant;
	struct quant_sizes s;
	char group[16];
	float *floats;
	uint64_t n;

	map_layer(w, plain, &from);
	map_layer(w, layer, &st);
	t = safetensors_find(&from, "data");
	n = st_tensor_elements(t);
	if (q.scale_dtype)
		q.scale_dtype = t->dtype;
	s = quant_sizes(&q, (uint32_t)t->shape[0], (uint32_t)t->shape[1]);
	floats = malloc(n * sizeof *floats);
	void *arrays[3] = { malloc(s.data), malloc(s.scale), malloc(s.bias + 1) };
	dtype_to_f32(t->dtype, data_of(&from, t), floats, n);
	quant_encode(&q, floats, n, &(struct quant_encoded){ arrays[0], arrays[1], arrays[2] });
	expect_array(&st, layer->name, "", arrays[0], s.data);
	expect_array(&st, layer->name, ".scale", arrays[1], s.scale);
	if (s.bias)
		expect_array(&st, layer->name, ".bias", arrays[2], s.bias);
	assert_int_equal(st.n_tensors, s.bias ? 3 : 2);
	assert_int_equal(st.data_start % 64, 0);
	snprintf(group, sizeof group, "%u", q.group);
	assert_string_equal(json_string_value(json_object_get(st.metadata, "group_size")), group);
	assert_string_equal(json_string_value(json_object_get(st.metadata, "quant_type")), type->stored);
	assert_string_equal(layer->dtype, type->stored);
	assert_int_equal(json_integer_value(json_array_get(layer->shape, 1)), t->shape[1]);
	assert_int_equal(layer->size, st.file_size);
	check_errors(&(struct quant_rows){ .quant = q, .cols = (uint32_t)t->shape[1], .data = arrays[0],
					   .scale = arrays[1], .bias = arrays[2] }, floats, (uint32_t)t->shape[0], layer->name);
	free(floats);
	for (int i = 0; i < 3; i++)
		free(arrays[i]);
	safetensors_finish(&from);
	safetensors_finish(&st);
}

/* Written out once more: what docs/BLOBS.md promises. */
static bool should_be(const struct layer *plain, const struct type *type)
{
	const char *bare = strchr(plain->name, '/') + 1;
	const size_t rank = json_array_size(plain->shape);

	return strncmp(plain->name, "vae/", 4) && text_ends_with(bare, ".weight") && rank >= 2 &&
		!strstr(bare, "embed") && !strstr(bare, "norm") && !strstr(bare, "ln_") &&
		json_integer_value(json_array_get(plain->shape, rank - 1)) % type->quant.group == 0;
}

static size_t check_layers(struct world *w, const struct manifest *plain, const struct manifest *m,
			   const struct type *type)
{
	size_t n = 0;

	assert_int_equal(m->n_layers, plain->n_layers);
	for (size_t i = 0; i < m->n_layers; i++) {
		const struct layer *a = &plain->layers[i], *b = &m->layers[i];

		if (strcmp(a->media_type, MEDIA_TENSOR))
			continue;
		assert_string_equal(a->name, b->name);
		if (should_be(a, type)) {
			check_blob(w, a, b, type);
			n++;
		} else {
			assert_string_equal(a->digest, b->digest);
		}
	}
	return n;
}

static void check_texts(struct world *w, const struct manifest *m, const struct type *type)
{
	char *index = world_blob(w, manifest_find(m, MEDIA_JSON, "model_index.json"));
	char *config = world_blob(w, &m->config), want[64];
	const char *at;

	snprintf(want, sizeof want, "\"quantization\": \"%s\"", type->index);
	assert_non_null(strstr(index, want));
	at = strstr(config, "\"file_type\":\"");
	assert_non_null(at);
	assert_int_equal(strncasecmp(at + strlen("\"file_type\":\""), type->asked, strlen(type->asked)), 0);
	free(index);
	free(config);
}

static void check_type(const struct type *type, const char *golden)
{
	struct manifest *plain, *folder, *model;
	struct import_result result;
	struct world w;
	size_t n;

	world_init(&w, golden);
	world_must_import(&w, (struct msg_import){ .model = TEXT("plain") }, &result);
	world_must_import(&w, (struct msg_import){ .model = TEXT("folder"), .quantize = (char *)type->asked }, &result);
	world_must_import(&w, (struct msg_import){ .model = TEXT("model"), .from = TEXT("plain"),
						   .quantize = (char *)type->asked }, &result);
	plain = world_manifest(&w, "plain");
	folder = world_manifest(&w, "folder");
	model = world_manifest(&w, "model");
	n = check_layers(&w, plain, folder, type);
	if (n < 4)
		fail_msg("%s: only %zu of %s", type->asked, n, golden);
	/* The same whichever way: every byte follows from the weights and the type. */
	assert_int_equal(model->n_layers, folder->n_layers);
	for (size_t i = 0; i < model->n_layers; i++)
		assert_string_equal(model->layers[i].digest, folder->layers[i].digest);
	check_texts(&w, folder, type);
	check_texts(&w, model, type);
	manifest_free(plain);
	manifest_free(folder);
	manifest_free(model);
	world_finish(&w);
}

static void every_type(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		check_type(&types[i], "zimage-wide");
	check_type(&types[0], "klein-a");
}

static void not_twice(void **state)
{
	struct import_result result;
	struct world w;
	struct err err;

	(void)state;
	world_init(&w, "zimage-a");
	world_must_import(&w, (struct msg_import){ .model = TEXT("q"), .quantize = TEXT("mxfp8") }, &result);
	assert_int_equal(world_import(&w, (struct msg_import){ .from = TEXT("q"), .quantize = TEXT("q4") }, &result, &err),
			 -EINVAL);
	assert_string_equal(err.text, "cannot requantize an already-quantized source model (requested \"q4\"): only "
			    "bf16/fp16/fp32 sources can be quantized");
	world_finish(&w);
}

/* Rows of 48 are no whole groups of 64: kept, and said. */
static void odd_rows(void **state)
{
	struct import_result result;
	struct world w;

	(void)state;
	world_init(&w, "zimage-a");
	world_must_import(&w, (struct msg_import){ .quantize = TEXT("int4") }, &result);
	assert_non_null(strstr(w.statuses, "kept "));
	assert_non_null(strstr(w.statuses, "quantizing to int4"));
	world_finish(&w);
}

/* ---- sources in eight-bit floats ---- */

#define FP8_NAME "layers.0.attention.to_q.weight"

/* One matrix as E4M3 (codes of 1.0) with scales behind everything else. */
static void make_fp8(struct world *w, const char *suffix, const char *dtype, size_t down, size_t across)
{
	json_t *header = folder_header(w->model, TRANSFORMER), *entry = json_object_get(header, FP8_NAME), *value;
	size_t len, at = 0, element = strcmp(dtype, "F32") ? 2 : 4;
	char *file = folder_read(w->model, TRANSFORMER, &len), name[128];
	const char *key;
	uint64_t head;

	json_object_foreach(header, key, value) {
		const size_t end = (size_t)json_integer_value(json_array_get(json_object_get(value, "data_offsets"), 1));

		at = end > at ? end : at;
	}
	memcpy(&head, file, sizeof head);
	const size_t begin = (size_t)json_integer_value(json_array_get(json_object_get(entry, "data_offsets"), 0));
	const size_t bytes = (size_t)json_integer_value(json_array_get(json_object_get(entry, "data_offsets"), 1)) - begin;
	const size_t n = (size_t)(json_integer_value(json_array_get(json_object_get(entry, "shape"), 0)) *
				  json_integer_value(json_array_get(json_object_get(entry, "shape"), 1)));

	snprintf(name, sizeof name, "%s%s", FP8_NAME, suffix);
	char *data = calloc(1, len + n + down * across * element);
	const size_t old = len - 8 - head;

	memcpy(data, file + 8 + head, begin);
	memset(data + begin, 0x38, n);
	memcpy(data + begin + n, file + 8 + head + begin + bytes, old - begin - bytes);
	json_object_foreach(header, key, value) {
		json_t *offsets = json_object_get(value, "data_offsets");

		for (size_t i = 0; offsets && i < 2; i++) {
			const size_t x = (size_t)json_integer_value(json_array_get(offsets, i));

			if (x > begin)
				json_array_set_new(offsets, i, json_integer((json_int_t)(x - bytes + n)));
		}
	}
	json_object_set_new(entry, "dtype", json_string("F8_E4M3"));
	at = at - bytes + n;
	for (size_t i = 0; i < down * across; i++) {
		const float scale = 0.5f;
		const uint16_t half = 0x3F00;

		memcpy(data + at + i * element, element == 4 ? (const void *)&scale : &half, element);
	}
	json_object_set_new(header, name, json_pack("{ss s[ii] s[ii]}", "dtype", dtype, "shape", (int)down, (int)across,
						    "data_offsets", (int)at, (int)(at + down * across * element)));
	folder_write(w->model, TRANSFORMER, "", 0);
	char *text = json_dumps(header, JSON_COMPACT);
	const uint64_t text_len = strlen(text);
	const size_t total = 8 + text_len + at + down * across * element;
	char *out = malloc(total);

	memcpy(out, &text_len, 8);
	memcpy(out + 8, text, text_len);
	memcpy(out + 8 + text_len, data, total - 8 - text_len);
	folder_write(w->model, TRANSFORMER, out, total);
	free(out);
	free(text);
	free(data);
	free(file);
	json_decref(header);
}

static void check_fp8(const char *suffix, const char *dtype, size_t down, size_t across)
{
	const uint32_t dim = 64;
	struct import_result result;
	struct weights *weights;
	struct manifest *m;
	struct world w;
	struct store *s;
	struct err err;

	world_init(&w, "zimage-a");
	make_fp8(&w, suffix, dtype, down, across);
	assert_int_equal(world_import(&w, (struct msg_import){ .quantize = TEXT("q8") }, &result, &err), -EINVAL);
	assert_non_null(strstr(err.text, "cannot quantize an fp8 source model (requested \"q8\")"));
	world_must_import(&w, (struct msg_import){ 0 }, &result);
	m = world_manifest(&w, "m");
	assert_int_equal(store_open(w.store, &s, NULL), 0);
	if (weights_open(s, m, &weights, &err) < 0)
		fail_msg("%s", err.text);
	weights_component(weights, "transformer", NULL);
	const struct weights_source *source = weights_host(weights, 2, (const uint32_t[]){ dim, dim }, FP8_NAME);
	float row[64];

	assert_non_null(source);
	assert_int_equal(source->quant.format, QUANT_FP8);
	weights_decode(source, 63, row);
	for (size_t i = 0; i < 64; i++)
		assert_true(row[i] == 0.5f);
	weights_close(NULL, &weights);
	store_close(s);
	manifest_free(m);
	world_finish(&w);
}

static void eight_bit_floats(void **state)
{
	(void)state;
	check_fp8("_scale_inv", "F32", 1, 1);
	check_fp8("_scale", "BF16", 64, 1);
}

static void wrong_eight_bit_floats(void **state)
{
	struct import_result result;
	struct world w;
	struct err err;

	(void)state;
	world_init(&w, "zimage-a");
	make_fp8(&w, "_scale_inv", "F32", 4, 4);
	assert_int_equal(world_import(&w, (struct msg_import){ 0 }, &result, &err), -EINVAL);
	assert_non_null(strstr(err.text, "only 128x128 is supported"));
	world_finish(&w);
	world_init(&w, "zimage-a");
	make_fp8(&w, "_other", "F32", 1, 1);
	assert_int_equal(world_import(&w, (struct msg_import){ 0 }, &result, &err), -EINVAL);
	assert_non_null(strstr(err.text, "missing the scale of tensor " FP8_NAME));
	world_finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type), cmocka_unit_test(not_twice), cmocka_unit_test(odd_rows),
		cmocka_unit_test(eight_bit_floats), cmocka_unit_test(wrong_eight_bit_floats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
