/*
 * Stored forms against recorded decodings by MLX and gguf, bit for bit; pieces of rows
 * against whole ones; sizes that do not fit.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runner/host/int8.h"
#include "runner/quant/encode.h"
#include "runner/quant/quant.h"
#include "tests/golden.h"

enum { ROWS = 3, COLS = 512 };

static const struct row {
	const char *name;
	struct quant quant;
} forms[] = {
	{ "int8", { QUANT_INT8, 64, 1, DTYPE_BF16, 1 } },
	{ "int8_g32", { QUANT_INT8, 32, 1, DTYPE_F16, 1 } },
	{ "int8_g128", { QUANT_INT8, 128, 1, DTYPE_F32, 1 } },
	{ "int4", { QUANT_INT4, 64, 1, DTYPE_BF16, 1 } },
	{ "int4_g32", { QUANT_INT4, 32, 1, DTYPE_F16, 1 } },
	{ "mxfp8", { QUANT_MXFP8, 32, 1, DTYPE_NONE, 1 } },
	{ "mxfp4", { QUANT_MXFP4, 32, 1, DTYPE_NONE, 1 } },
	{ "nvfp4", { QUANT_NVFP4, 16, 1, DTYPE_NONE, 1 } },
	{ "fp8_e4m3", { QUANT_FP8, COLS, ROWS, DTYPE_F32, 1 } },
	{ "q8_0", { QUANT_Q8_0 } },
	{ "q4_0", { QUANT_Q4_0 } },
	{ "q4_k", { QUANT_Q4_K } },
	{ "q5_k", { QUANT_Q5_K } },
	{ "q6_k", { QUANT_Q6_K } },
};

static const struct st_tensor *part(const struct safetensors *st, const char *form, const char *what)
{
	char name[64];

	snprintf(name, sizeof name, "%s.%s", form, what);
	return safetensors_find(st, name);
}

/* An array at an odd address; the caller frees what stands one byte before it. */
static unsigned char *odd_copy(const struct safetensors *st, const struct st_tensor *t)
{
	const size_t n = t ? t->end - t->begin : 0;
	unsigned char *copy = malloc(n + 1);

	assert_non_null(copy);
	if (t)
		memcpy(copy + 1, st->map + st->data_start + t->begin, n);
	return copy + 1;
}

static void expect_bits(const char *name, const float *got, const float *want, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(got + i, want + i, sizeof *got))
			fail_msg("%s: element %zu is %a, recorded %a", name, i, got[i], want[i]);
}

/* Every split of a few rows into pieces decodes to the same. */
static void check_pieces(const char *name, const struct quant_rows *r, const float *want)
{
	static const uint32_t lengths[] = { 1, 7, 16, 33, 255, 300 };
	float got[COLS];

	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
		for (uint32_t k = 0; k < COLS; k += lengths[i]) {
			const uint32_t n = COLS - k < lengths[i] ? COLS - k : lengths[i];

			quant_decode(r, 2, k, n, got);
			expect_bits(name, got, want + 2 * COLS + k, n);
		}
}

static void check_form(const struct safetensors *st, const struct row *row)
{
	const struct st_tensor *data = part(st, row->name, "data"), *scale = part(st, row->name, "scale");
	const struct st_tensor *bias = part(st, row->name, "bias"), *want = part(st, row->name, "want");
	unsigned char *d = odd_copy(st, data), *s = odd_copy(st, scale), *b = odd_copy(st, bias);
	const struct quant_rows r = { .quant = row->quant, .cols = COLS, .data = d, .scale = s, .bias = b };
	const struct quant_sizes have = {
		.data = data->end - data->begin, .scale = scale ? scale->end - scale->begin : 0,
		.bias = bias ? bias->end - bias->begin : 0,
	};
	const float *values = (const float *)(const void *)(st->map + st->data_start + want->begin);
	float got[ROWS * COLS];
	struct err err = { 0 };

	if (quant_check(&row->quant, ROWS, COLS, &have, &err) < 0)
		fail_msg("%s: %s", row->name, err.text);
	for (uint32_t i = 0; i < ROWS; i++)
		quant_decode(&r, i, 0, COLS, got + i * COLS);
	expect_bits(row->name, got, values, ROWS * COLS);
	check_pieces(row->name, &r, values);
	free(d - 1);
	free(s - 1);
	free(b - 1);
}

static void test_recorded(void **unused)
{
	struct safetensors st;

	(void)unused;
	golden_map(golden_path("quant/quant.safetensors"), &st);
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		check_form(&st, &forms[i]);
	safetensors_finish(&st);
}

/* ---- encoding ---- */

enum { ENCODE_ROWS = 8 };

static const struct row encoded[] = {
	{ "encode.int8", { QUANT_INT8, 64, 1, DTYPE_BF16, 1 } },
	{ "encode.int8_f16", { QUANT_INT8, 32, 1, DTYPE_F16, 1 } },
	{ "encode.int8_f32", { QUANT_INT8, 64, 1, DTYPE_F32, 1 } },
	{ "encode.int4", { QUANT_INT4, 64, 1, DTYPE_BF16, 1 } },
	{ "encode.int4_g32", { QUANT_INT4, 32, 1, DTYPE_BF16, 1 } },
	{ "encode.mxfp8", { QUANT_MXFP8, 32, 1, DTYPE_NONE, 1 } },
	{ "encode.mxfp4", { QUANT_MXFP4, 32, 1, DTYPE_NONE, 1 } },
	{ "encode.nvfp4", { QUANT_NVFP4, 16, 1, DTYPE_NONE, 1 } },
	{ "encode.mxfp8_f32", { QUANT_MXFP8, 32, 1, DTYPE_NONE, 1 } },
	{ "encode.nvfp4_f16", { QUANT_NVFP4, 16, 1, DTYPE_NONE, 1 } },
};

static void expect_bytes(const char *name, const char *what, const struct safetensors *st,
			 const unsigned char *got)
{
	const struct st_tensor *t = part(st, name, what);
	const unsigned char *want;

	if (!t)
		return;
	want = st->map + st->data_start + t->begin;
	for (size_t i = 0; i < t->end - t->begin; i++)
		if (got[i] != want[i])
			fail_msg("%s: byte %zu of %s is %02x, recorded %02x", name, i, what, got[i], want[i]);
}

/* In pieces of so many elements, as an import reads them. */
static void check_encoded(const struct safetensors *st, const struct row *row, size_t piece)
{
	const struct st_tensor *source = part(st, row->name, "source");
	const struct quant_sizes s = quant_sizes(&row->quant, ENCODE_ROWS, COLS);
	unsigned char data[ENCODE_ROWS * COLS], scale[ENCODE_ROWS * COLS], bias[ENCODE_ROWS * COLS];
	float *w = malloc(ENCODE_ROWS * COLS * sizeof *w);

	assert_non_null(w);
	assert_non_null(source);
	dtype_to_f32(source->dtype, st->map + st->data_start + source->begin, w, ENCODE_ROWS * COLS);
	for (size_t i = 0; i < ENCODE_ROWS * COLS; i += piece)
		quant_encode(&row->quant, w + i, piece, &(struct quant_encoded){
			data + i * s.data / (ENCODE_ROWS * COLS), scale + i * s.scale / (ENCODE_ROWS * COLS),
			bias + i * s.bias / (ENCODE_ROWS * COLS) });
	expect_bytes(row->name, "scale", st, scale);
	expect_bytes(row->name, "bias", st, bias);
	expect_bytes(row->name, "data", st, data);
	free(w);
}

static void test_encoded(void **unused)
{
	struct safetensors st;

	(void)unused;
	golden_map(golden_path("quant/quant.safetensors"), &st);
	for (size_t i = 0; i < sizeof encoded / sizeof *encoded; i++) {
		check_encoded(&st, &encoded[i], ENCODE_ROWS * COLS);
		check_encoded(&st, &encoded[i], 128);
	}
	safetensors_finish(&st);
}

/* A short last group, blocks of rows that share scales, and rows out of the middle of those. */
static void test_groups(void **unused)
{
	const unsigned char codes[5][8] = {
		{ 0x38, 0x38, 0x38, 0x38, 0x38 }, { 0x40, 0x40, 0x40, 0x40, 0x40 },
		{ 0x38, 0xb8, 0x38, 0xb8, 0x38 }, { 0, 0x80, 1, 0x7e, 0x7f }, { 0x38, 0x38, 0x38, 0x38, 0x38 },
	};
	const float scales[3][3] = { { 1, 2, 3 }, { 10, 20, 30 }, { 100, 200, 300 } };
	unsigned char dense[25];
	struct quant_rows r = { .quant = { QUANT_FP8, 2, 2, DTYPE_F32, 1 }, .cols = 5, .data = dense, .scale = scales };
	float got[5];

	(void)unused;
	for (int i = 0; i < 5; i++)
		memcpy(dense + 5 * i, codes[i], 5);
	quant_decode(&r, 1, 0, 5, got);
	expect_bits("row 1", got, (const float[]){ 2, 2, 4, 4, 6 }, 5);
	quant_decode(&r, 2, 1, 4, got);
	expect_bits("row 2", got, (const float[]){ -10, 20, -20, 30 }, 4);
	quant_decode(&r, 3, 0, 5, got);
	expect_bits("row 3", got, (const float[]){ 0, -0.0f, 20 * 0x1p-9f, 20 * 448 }, 4);
	assert_true(isnan(got[4]));
	r.quant.row0 = 3;
	r.data = dense + 15;
	quant_decode(&r, 1, 3, 2, got);
	expect_bits("row 4", got, (const float[]){ 200, 300 }, 2);
}

/* Longer than what is decoded at once, in groups that do not divide that. */
static void test_long_rows(void **unused)
{
	enum { LONG = 9000, GROUP = 77, SCALES = (LONG + GROUP - 1) / GROUP };
	static unsigned char codes[LONG];
	static float scale[SCALES], bias[SCALES], got[LONG];
	const struct quant_rows r = {
		.quant = { QUANT_INT8, GROUP, 1, DTYPE_F32, 1 }, .cols = LONG, .data = codes, .scale = scale,
		.bias = bias,
	};

	(void)unused;
	for (int i = 0; i < LONG; i++)
		codes[i] = (unsigned char)(i * 7);
	for (int i = 0; i < SCALES; i++) {
		scale[i] = (float)(i + 1);
		bias[i] = (float)(i % 3);
	}
	quant_decode(&r, 0, 5, LONG - 5, got);
	for (int k = 5; k < LONG; k++)
		if (got[k - 5] != scale[k / GROUP] * codes[k] + bias[k / GROUP])
			fail_msg("element %d is %g", k, got[k - 5]);
}

/* A row as bytes: nearest codes, the greatest is 127, and what is not finite is not lost. */
static void test_int8_row(void **unused)
{
	enum { N = 67 };
	float x[N];
	int8_t codes[N];
	float scale;

	(void)unused;
	for (int i = 0; i < N; i++)
		x[i] = 3.7f * sinf((float)i);
	x[5] = -4;
	scale = host_int8_row(x, codes, N);
	assert_true(scale == 4 / 127.0f && codes[5] == -127);
	for (int i = 0; i < N; i++)
		if (!(fabsf(x[i] - scale * codes[i]) <= 0.5001f * scale))
			fail_msg("element %d, %g, became %d", i, x[i], codes[i]);
	x[66] = INFINITY;
	assert_true(isnan(host_int8_row(x, codes, N)));
	x[66] = -NAN;
	assert_true(isnan(host_int8_row(x, codes, N)));
	assert_true(isfinite(host_int8_row(x, codes, N - 1)));
	for (int i = 0; i < N; i++)
		x[i] = i % 2 ? 0x1p-140f : -0.0f;
	assert_true(host_int8_row(x, codes, N) == 0 && codes[1] == 0);
}

static void test_global(void **unused)
{
	const unsigned char codes[8] = { 0x92, 0xff }, scale[1] = { 0x40 };
	const struct quant_rows r = {
		.quant = { QUANT_NVFP4, 16, 1, DTYPE_NONE, 0.5f }, .cols = 16, .data = codes, .scale = scale,
	};
	float got[4];

	(void)unused;
	quant_decode(&r, 0, 0, 4, got);
	expect_bits("nvfp4", got, (const float[]){ 1, -0.5f, -6, -6 }, 4);
}

static void test_sizes(void **unused)
{
	static const struct {
		struct quant quant;
		uint32_t rows, cols;
		struct quant_sizes sizes;
		int result;
	} rows[] = {
		{ { QUANT_INT8, 64, 1, DTYPE_BF16, 1 }, 4, 128, { .data = 512, .scale = 16, .bias = 16 }, 0 },
		{ { QUANT_INT8, 64, 1, DTYPE_BF16, 1 }, 4, 129, { .data = 528, .scale = 24, .bias = 24 }, 0 },
		{ { QUANT_INT8, 64, 1, DTYPE_BF16, 1 }, 4, 128, { .data = 511, .scale = 16, .bias = 16 }, -EINVAL },
		{ { QUANT_INT8, 64, 1, DTYPE_BF16, 1 }, 4, 128, { .data = 512, .scale = 16 }, -EINVAL },
		{ { QUANT_INT8, 0, 1, DTYPE_BF16, 1 }, 4, 128, { .data = 512, .scale = 16, .bias = 16 }, -EINVAL },
		{ { QUANT_INT8, 64, 1, DTYPE_U8, 1 }, 4, 128, { .data = 512, .scale = 8, .bias = 8 }, -EINVAL },
		{ { QUANT_INT8, 64, 2, DTYPE_BF16, 1 }, 4, 128, { .data = 512, .scale = 8, .bias = 8 }, -EINVAL },
		{ { QUANT_INT4, 32, 1, DTYPE_F16, 1 }, 2, 64, { .data = 64, .scale = 8, .bias = 8 }, 0 },
		{ { QUANT_MXFP8, 32, 1, DTYPE_NONE, 1 }, 2, 64, { .data = 128, .scale = 4 }, 0 },
		{ { QUANT_MXFP8, 16, 1, DTYPE_NONE, 1 }, 2, 64, { .data = 128, .scale = 8 }, -EINVAL },
		{ { QUANT_NVFP4, 16, 1, DTYPE_NONE, 1 }, 2, 64, { .data = 64, .scale = 8 }, 0 },
		{ { QUANT_NVFP4, 16, 1, DTYPE_NONE, INFINITY }, 2, 64, { .data = 64, .scale = 8 }, -EINVAL },
		{ { QUANT_FP8, 128, 128, DTYPE_F32, 1 }, 129, 130, { .data = 129 * 130, .scale = 16 }, 0 },
		{ { QUANT_Q4_K }, 2, 512, { .data = 2 * 288 }, 0 },
		{ { QUANT_Q4_K }, 2, 257, { .data = 2 * 288 }, 0 },
		{ { QUANT_Q4_K }, 2, 512, { .data = 2 * 288, .scale = 4 }, -EINVAL },
		{ { QUANT_Q6_K }, UINT32_MAX, INT32_MAX, { .data = 210 }, -EINVAL },
		{ { QUANT_INT8, 1, 1, DTYPE_F32, 1 }, UINT32_MAX, INT32_MAX, { .data = 1 }, -EINVAL },
		{ { QUANT_INT8, 1, 1, DTYPE_F32, 1 }, 1, UINT32_MAX, { .data = 1 }, -EINVAL },
		{ { QUANT_NONE }, 1, 1, { 0 }, -EINVAL },
		{ { QUANT_FORMATS }, 1, 1, { 0 }, -EINVAL },
		{ { QUANT_Q8_0 }, 0, 32, { 0 }, -EINVAL },
	};
	struct err err;

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (quant_check(&rows[i].quant, rows[i].rows, rows[i].cols, &rows[i].sizes, &err) != rows[i].result)
			fail_msg("row %zu: %s", i, err.text);
}

static void test_names(void **unused)
{
	(void)unused;
	assert_int_equal(quant_parse("int4"), QUANT_INT4);
	assert_int_equal(quant_parse("q6_k"), QUANT_Q6_K);
	assert_int_equal(quant_parse("none"), QUANT_NONE);
	assert_int_equal(quant_parse(""), QUANT_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded), cmocka_unit_test(test_encoded), cmocka_unit_test(test_groups), cmocka_unit_test(test_global),
		cmocka_unit_test(test_int8_row),
		cmocka_unit_test(test_long_rows),
		cmocka_unit_test(test_sizes), cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
