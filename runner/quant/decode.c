/*
 * Stored codes to float32. Grouped forms in two passes over what fits the first cache:
 * codes to their values, then scales and biases. Owns nothing; any thread.
 */
#include <string.h>

#include "runner/host/vector.h"
#include "runner/host/widen.h"
#include "runner/quant/blocks.h"
#include "runner/quant/quant.h"

enum { PIECE = 2048, PIECE_GROUPS = 128 };      /* elements, and scales, of one pass */

/* ---- codes ---- */

VECTOR static void values_u8(const unsigned char *restrict src, float *restrict dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = src[i];
}

VECTOR static void values_s8(const unsigned char *restrict src, float *restrict dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = (signed char)src[i];
}

/* Low nibbles first. */
VECTOR static void values_u4(const unsigned char *restrict src, float *restrict dst, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		dst[2 * i] = src[i] & 15;
		dst[2 * i + 1] = src[i] >> 4;
	}
	if (n % 2)
		dst[n - 1] = src[n / 2] & 15;
}

/* Exponent and fraction moved in place; the product makes the bias good, subnormals too. */
static inline float e4m3(unsigned char code)
{
	const uint32_t magnitude = (uint32_t)(code & 0x7f) << 20, sign = (uint32_t)(code & 0x80) << 24;
	uint32_t bits;
	float value;

	memcpy(&value, &magnitude, sizeof value);
	value *= 0x1p120f;
	memcpy(&bits, &value, sizeof bits);
	bits |= (code & 0x7f) == 0x7f ? 0x7fc00000 : 0;
	bits |= sign;
	memcpy(&value, &bits, sizeof value);
	return value;
}

static inline float e2m1(uint32_t code)
{
	const uint32_t magnitude = (code & 7) << 22;
	uint32_t bits;
	float value;

	memcpy(&value, &magnitude, sizeof value);
	value *= 0x1p126f;
	memcpy(&bits, &value, sizeof bits);
	bits |= (code & 8) << 28;
	memcpy(&value, &bits, sizeof value);
	return value;
}

VECTOR static void values_e4m3(const unsigned char *restrict src, float *restrict dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = e4m3(src[i]);
}

VECTOR static void values_e2m1(const unsigned char *restrict src, float *restrict dst, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		dst[2 * i] = e2m1(src[i] & 15);
		dst[2 * i + 1] = e2m1(src[i] >> 4);
	}
	if (n % 2)
		dst[n - 1] = e2m1(src[n / 2] & 15);
}

typedef void (*values)(const unsigned char *src, float *dst, size_t n);
static const values code_values[QUANT_FORMATS] = {
	[QUANT_INT8] = values_u8, [QUANT_INT4] = values_u4, [QUANT_MXFP8] = values_e4m3,
	[QUANT_MXFP4] = values_e2m1, [QUANT_NVFP4] = values_e2m1, [QUANT_FP8] = values_e4m3,
	[QUANT_INT8_ROWS] = values_s8,
};

/* ---- scales ---- */

/* 2^(code - 127); the least is subnormal. */
static void values_e8m0(const unsigned char *src, float *dst, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const uint32_t bits = src[i] ? (uint32_t)src[i] << 23 : 0x00400000;

		memcpy(dst + i, &bits, sizeof bits);
	}
}

static void scale_values(const struct quant *q, const void *scales, size_t first, float *dst, size_t n)
{
	const unsigned char *at = scales;

	switch (quant_forms[q->format].scales) {
	case QUANT_SCALES_E8M0:
		values_e8m0(at + first, dst, n);
		return;
	case QUANT_SCALES_E4M3:
		values_e4m3(at + first, dst, n);
		return;
	default:
		host_widen(q->scale_dtype, at + first * dtype_size(q->scale_dtype), dst, n);
	}
}

struct factors {
	uint32_t first, group;                  /* the group that scale[0] serves, in elements from the row's start */
	float scale[PIECE_GROUPS], bias[PIECE_GROUPS];
};

VECTOR static void scale_groups(const struct factors *f, float global, uint32_t k0, uint32_t n, float *restrict dst)
{
	for (uint32_t i = 0, g = 0; i < n; g++) {
		const uint64_t end = (uint64_t)f->first + (g + 1) * (uint64_t)f->group - k0;
		const uint32_t stop = end < n ? (uint32_t)end : n;
		const float scale = f->scale[g], bias = f->bias[g];

		for (; i < stop; i++)
			dst[i] = dst[i] * scale * global + bias;
	}
}

/* Minus zero, which leaves every number as it is. */
static void no_biases(float *dst, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		dst[i] = -0.0f;
}

static void decode_piece(const struct quant_rows *r, const unsigned char *codes, size_t first_scale, uint32_t k0,
			 uint32_t n, float *dst)
{
	const struct quant *q = &r->quant;
	const uint32_t first = k0 / q->group, groups = (k0 + n - 1) / q->group - first + 1;
	const uint32_t half = quant_forms[q->format].block == 2 && k0 % 2;
	struct factors f;

	f.first = first * q->group;
	f.group = q->group;
	code_values[q->format](codes + (quant_forms[q->format].block == 2 ? k0 / 2 + half : k0), dst + half, n - half);
	if (half)
		code_values[q->format]((const unsigned char[]){ codes[k0 / 2] >> 4 }, dst, 1);
	scale_values(q, r->scale, first_scale + first, f.scale, groups);
	if (quant_forms[q->format].bias)
		scale_values(q, r->bias, first_scale + first, f.bias, groups);
	else
		no_biases(f.bias, groups);
	scale_groups(&f, q->global, k0, n, dst);
}

static void decode_grouped(const struct quant_rows *r, uint32_t row, uint32_t k0, uint32_t n, float *dst)
{
	const struct quant *q = &r->quant;
	const struct quant_sizes s = quant_sizes(q, 1, r->cols);
	const size_t first_scale = (q->row0 + row) / q->group_rows * s.row_scales;
	const uint64_t most_groups = (uint64_t)(PIECE_GROUPS - 1) * q->group;
	const uint32_t most = most_groups < PIECE ? (uint32_t)most_groups : PIECE;

	for (uint32_t i = 0; i < n; i += most)
		decode_piece(r, (const unsigned char *)r->data + s.row_bytes * row, first_scale, k0 + i,
			     n - i < most ? n - i : most, dst + i);
}

static void decode_blocks(const struct quant_rows *r, uint32_t row, uint32_t k0, uint32_t n, float *dst)
{
	const struct quant_form *f = &quant_forms[r->quant.format];
	const unsigned char *blocks = (const unsigned char *)r->data + quant_sizes(&r->quant, row, r->cols).data;
	float whole[QUANT_BLOCK_MAX];

	for (uint32_t i = 0; i < n; ) {
		const uint32_t k = k0 + i, at = k % f->block, left = f->block - at;
		const uint32_t part = left < n - i ? left : n - i;
		const unsigned char *block = blocks + (size_t)(k / f->block) * f->block_bytes;

		quant_block(r->quant.format, block, part == f->block ? dst + i : whole);
		if (part < f->block)
			memcpy(dst + i, whole + at, part * sizeof *dst);
		i += part;
	}
}

void quant_decode(const struct quant_rows *r, uint32_t row, uint32_t k0, uint32_t n, float *dst)
{
	const size_t size = dtype_size(r->dtype);

	if (r->quant.format == QUANT_NONE)
		host_widen(r->dtype, (const unsigned char *)r->data + ((size_t)row * r->cols + k0) * size, dst, n);
	else if (quant_forms[r->quant.format].scales == QUANT_SCALES_INSIDE)
		decode_blocks(r, row, k0, n, dst);
	else
		decode_grouped(r, row, k0, n, dst);
}
