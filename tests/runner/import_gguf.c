/*
 * The transformer out of a GGUF file: golden models written as such files are, by the names
 * of single-file checkpoints, become the same layers as from their folder. Needs no GPU.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/safetensors.h"
#include "common/store.h"
#include "common/text.h"
#include "runner/weights.h"
#include "tests/golden.h"
#include "tests/runner/folder.h"
#include "tests/runner/import_world.h"

enum { TYPE_F32 = 0, TYPE_F16 = 1, TYPE_Q8_0 = 8, TYPE_BF16 = 30, BLOCK = 32, ALIGN = 32 };

/* ---- writing such files ---- */

struct writer {
	struct buf head, data;
	unsigned n;
};

static void put_number(struct buf *b, uint64_t value, size_t bytes)
{
	buf_append(b, &value, bytes);
}

static void put_string(struct buf *b, const char *text)
{
	put_number(b, strlen(text), 8);
	buf_puts(b, text);
}

static void begin_tensor(struct writer *w, const char *name, unsigned type, unsigned rank, const uint64_t *shape)
{
	while (w->data.len % ALIGN)
		buf_append(&w->data, "", 1);
	put_string(&w->head, name);
	put_number(&w->head, rank, 4);
	for (unsigned i = rank; i-- > 0; )
		put_number(&w->head, shape[i], 8);
	put_number(&w->head, type, 4);
	put_number(&w->head, w->data.len, 8);
	w->n++;
}

static void write_gguf(struct writer *w, struct world *world)
{
	struct buf file = BUF_INIT(64 << 20);

	buf_puts(&file, "GGUF");
	put_number(&file, 3, 4);
	put_number(&file, w->n, 8);
	put_number(&file, 1, 8);
	put_string(&file, "general.architecture");
	put_number(&file, 8, 4);
	put_string(&file, "lumina2");
	buf_append(&file, w->head.data, w->head.len);
	while (file.len % ALIGN)
		buf_append(&file, "", 1);
	buf_append(&file, w->data.data, w->data.len);
	assert_false(buf_failed(&file));
	folder_write(world->model, "x.gguf", file.data, file.len);
	buf_finish(&file);
	buf_finish(&w->head);
	buf_finish(&w->data);
}

static void put_q8_0(struct buf *b, const float *x, uint64_t n)
{
	for (uint64_t i = 0; i < n; i += BLOCK) {
		float most = 0;
		int8_t codes[BLOCK];
		uint16_t d;

		for (int k = 0; k < BLOCK; k++)
			most = fmaxf(most, fabsf(x[i + k]));
		d = f32_to_f16(most / 127);
		for (int k = 0; k < BLOCK; k++)
			codes[k] = (int8_t)(d ? rintf(x[i + k] / f16_to_f32(d)) : 0);
		buf_append(b, &d, sizeof d);
		buf_append(b, codes, sizeof codes);
	}
}

/* ---- names ---- */

/* from (a star for any text) to to, in the order of the tables: diffusers to single-file. */
struct name_rule {
	const char *from, *to;
};

static const struct name_rule zimage[] = {
	{ "all_x_embedder.2-1.", "x_embedder." }, { "all_final_layer.2-1.", "final_layer." },
	{ ".attention.to_out.0.", ".attention.out." }, { ".attention.to_q.", ".attention.qkv." },
	{ ".attention.norm_q.", ".attention.q_norm." }, { ".attention.norm_k.", ".attention.k_norm." }, { 0 }
};
static const struct name_rule klein[] = {
	{ "time_guidance_embed.timestep_embedder.linear_1.", "time_in.in_layer." },
	{ "time_guidance_embed.timestep_embedder.linear_2.", "time_in.out_layer." },
	{ "context_embedder.", "txt_in." }, { "x_embedder.", "img_in." },
	{ "norm_out.linear.", "final_layer.adaLN_modulation.1." }, { "proj_out.", "final_layer.linear." },
	{ "_modulation_img.linear", "_modulation_img.lin" }, { "_modulation_txt.linear", "_modulation_txt.lin" },
	{ "single_stream_modulation.linear", "single_stream_modulation.lin" },
	{ ".ff.linear_in.", ".img_mlp.0." }, { ".ff.linear_out.", ".img_mlp.2." },
	{ ".ff_context.linear_in.", ".txt_mlp.0." }, { ".ff_context.linear_out.", ".txt_mlp.2." },
	{ ".attn.to_qkv_mlp_proj.", ".linear1." }, { ".attn.to_q.", ".img_attn.qkv." },
	{ ".attn.add_q_proj.", ".txt_attn.qkv." }, { ".attn.to_out.0.", ".img_attn.proj." },
	{ ".attn.to_add_out.", ".txt_attn.proj." }, { ".attn.to_out.", ".linear2." },
	{ ".attn.norm_added_q.weight", ".txt_attn.norm.query_norm.scale" },
	{ ".attn.norm_added_k.weight", ".txt_attn.norm.key_norm.scale" }, { 0 }
};
/* Whose names say the block's kind elsewhere. */
static const struct name_rule klein_norms[] = {
	{ ".attn.norm_q.weight", ".norm.query_norm.scale" }, { ".attn.norm_k.weight", ".norm.key_norm.weight" }, { 0 }
};

static void replace(char *name, size_t size, const struct name_rule *rules)
{
	for (; rules->from; rules++) {
		char *at = strstr(name, rules->from), rest[512];

		if (!at)
			continue;
		snprintf(rest, sizeof rest, "%s", at + strlen(rules->from));
		snprintf(at, size - (size_t)(at - name), "%s%s", rules->to, rest);
		return;
	}
}

static void original_name(const char *name, bool is_klein, char *ret, size_t size)
{
	snprintf(ret, size, "%s", name);
	replace(ret, size, is_klein ? klein : zimage);
	if (!is_klein)
		return;
	if (strncmp(name, "single_", 7))
		replace(ret, size, (const struct name_rule[]){ { ".attn.norm_q.weight", ".img_attn.norm.query_norm.scale" },
			{ ".attn.norm_k.weight", ".img_attn.norm.key_norm.scale" }, { 0 } });
	replace(ret, size, klein_norms);
	replace(ret, size, (const struct name_rule[]){ { "single_transformer_blocks.", "single_blocks." },
		{ "transformer_blocks.", "double_blocks." }, { 0 } });
}

/* The tensor whose rows stand before those of t in one matrix, "to_k" and "to_v" of their "to_q". */
static bool is_joined(const char *name)
{
	return strstr(name, ".to_k.") || strstr(name, ".to_v.") || strstr(name, ".add_k_proj.") ||
		strstr(name, ".add_v_proj.");
}

static const char *joined_name(const char *name, char letter, char *ret, size_t size)
{
	char *at;

	snprintf(ret, size, "%s", name);
	at = strstr(ret, ".to_q.") ? strstr(ret, ".to_q.") + 4 : strstr(ret, ".add_q_proj.") + 5;
	*at = letter;
	return ret;
}

/* ---- models ---- */

static const unsigned char *data_of(const struct safetensors *st, const struct st_tensor *t)
{
	return st->map + st->data_start + t->begin;
}

static bool as_blocks(const struct st_tensor *t)
{
	return text_ends_with(t->name, "feed_forward.w3.weight") && t->shape[1] % BLOCK == 0;
}

static void add_tensor(struct writer *w, const struct safetensors *st, const struct st_tensor *t, bool is_klein)
{
	const unsigned type = t->dtype == DTYPE_F32 ? TYPE_F32 : t->dtype == DTYPE_F16 ? TYPE_F16 : TYPE_BF16;
	const bool three = strstr(t->name, ".to_q.") || strstr(t->name, ".add_q_proj.");
	const size_t half = (t->end - t->begin) / 2;
	uint64_t shape[LIMIT_ST_RANK];
	char name[512], other[512];

	if (is_joined(t->name))
		return;
	memcpy(shape, t->shape, sizeof shape);
	original_name(t->name, is_klein, name, sizeof name);
	shape[0] *= three ? 3 : 1;
	begin_tensor(w, name, as_blocks(t) ? TYPE_Q8_0 : type, t->rank, shape);
	if (as_blocks(t)) {
		float *x = malloc(st_tensor_elements(t) * sizeof *x);

		dtype_to_f32(t->dtype, data_of(st, t), x, st_tensor_elements(t));
		put_q8_0(&w->data, x, st_tensor_elements(t));
		free(x);
	} else if (strstr(t->name, "norm_out.linear.")) {
		buf_append(&w->data, data_of(st, t) + half, half);
		buf_append(&w->data, data_of(st, t), half);
	} else {
		buf_append(&w->data, data_of(st, t), t->end - t->begin);
	}
	for (const char *letter = "kv"; three && *letter; letter++) {
		const struct st_tensor *more = safetensors_find(st, joined_name(t->name, *letter, other, sizeof other));

		assert_non_null(more);
		buf_append(&w->data, data_of(st, more), more->end - more->begin);
	}
}

static void make_file(struct world *world, bool is_klein)
{
	struct writer w = { .head = BUF_INIT(1 << 20), .data = BUF_INIT(64 << 20) };
	struct safetensors st;

	golden_map(folder_path(world->model, TRANSFORMER), &st);
	for (size_t i = 0; i < st.n_tensors; i++)
		add_tensor(&w, &st, &st.tensors[i], is_klein);
	safetensors_finish(&st);
	write_gguf(&w, world);
}

static int import_file(struct world *w, const char *quantize, struct err *err)
{
	struct import_result result;
	char *folder = w->model;
	int r;

	w->model = strdup(folder_path(folder, "x.gguf"));
	r = world_import(w, (struct msg_import){ .model = TEXT("gguf"), .quantize = (char *)quantize }, &result, err);
	free(w->model);
	w->model = folder;
	return r;
}

static void check_blocks(struct world *w, const struct manifest *m)
{
	struct weights *weights;
	struct safetensors st;
	struct store *s;
	struct err err;

	golden_map(folder_path(w->model, TRANSFORMER), &st);
	assert_int_equal(store_open(w->store, &s, NULL), 0);
	if (weights_open(s, m, &weights, &err) < 0)
		fail_msg("%s", err.text);
	weights_component(weights, "transformer", NULL);
	for (size_t i = 0; i < st.n_tensors; i++) {
		const struct st_tensor *t = &st.tensors[i];
		const struct weights_source *source;
		float *want, *got;

		if (!as_blocks(t))
			continue;
		source = weights_host(weights, 2, (const uint32_t[]){ (uint32_t)t->shape[0], (uint32_t)t->shape[1] },
				      "%s", t->name);
		assert_non_null(source);
		assert_int_equal(source->quant.format, QUANT_Q8_0);
		want = malloc(st_tensor_elements(t) * sizeof *want);
		got = malloc(t->shape[1] * sizeof *got);
		dtype_to_f32(t->dtype, data_of(&st, t), want, st_tensor_elements(t));
		weights_decode(source, 1, got);
		for (size_t k = 0; k < t->shape[1]; k++)
			assert_true(fabsf(got[k] - want[t->shape[1] + k]) <= 0.005f * 8);
		free(want);
		free(got);
	}
	weights_close(NULL, &weights);
	store_close(s);
	safetensors_finish(&st);
}

static void check_model(const char *golden, bool is_klein)
{
	struct import_result result;
	struct manifest *plain, *m;
	struct world w;
	struct err err;
	size_t same = 0, blocks = 0;

	world_init(&w, golden);
	make_file(&w, is_klein);
	world_must_import(&w, (struct msg_import){ .model = TEXT("plain") }, &result);
	if (import_file(&w, NULL, &err) < 0)
		fail_msg("%s: %s", golden, err.text);
	plain = world_manifest(&w, "plain");
	m = world_manifest(&w, "gguf");
	assert_int_equal(m->n_layers, plain->n_layers);
	for (size_t i = 0; i < m->n_layers; i++) {
		const bool blocked = plain->layers[i].dtype && strcmp(plain->layers[i].dtype, m->layers[i].dtype);

		assert_string_equal(m->layers[i].name, plain->layers[i].name);
		if (blocked)
			assert_string_equal(m->layers[i].dtype, "q8_0");
		else
			assert_string_equal(m->layers[i].digest, plain->layers[i].digest);
		blocks += blocked;
		same += !blocked;
	}
	assert_true(same > 50 && (is_klein || blocks > 1));
	check_blocks(&w, m);
	manifest_free(plain);
	manifest_free(m);
	world_finish(&w);
}

static void names_of_two_families(void **state)
{
	(void)state;
	check_model("zimage-a", false);
	check_model("klein-a", true);
}

static void refused(void **state)
{
	struct world w;
	struct err err;
	size_t len;
	char *file;

	(void)state;
	world_init(&w, "zimage-a");
	make_file(&w, false);
	assert_int_equal(import_file(&w, "q4", &err), -EINVAL);
	assert_non_null(strstr(err.text, "cannot requantize an already-quantized source model (requested \"q4\")"));
	folder_truncate(w.model, "x.gguf", 1);
	assert_int_equal(import_file(&w, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.text, "beyond the file's end (truncated?)"));
	file = folder_read(w.model, "x.gguf", &len);
	folder_write(w.model, "x.gguf", file, 100);
	assert_int_equal(import_file(&w, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.text, "x.gguf"));
	memcpy(file, "GGML", 4);
	folder_write(w.model, "x.gguf", file, len);
	assert_int_equal(import_file(&w, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.text, "not a GGUF file"));
	free(file);
	assert_int_equal(folder_count(folder_path(w.store, "blobs")), 0);
	world_finish(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_two_families), cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
