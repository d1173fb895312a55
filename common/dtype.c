/*
 * Element types: names, sizes, widening. Owns nothing; any thread.
 */
#include <string.h>

#include "common/dtype.h"

static const struct {
	const char *name;
	size_t size;
} rows[] = {
	[DTYPE_F32] = { "F32", 4 },       [DTYPE_F16] = { "F16", 2 },
	[DTYPE_BF16] = { "BF16", 2 },     [DTYPE_F64] = { "F64", 8 },
	[DTYPE_I8] = { "I8", 1 },         [DTYPE_I16] = { "I16", 2 },
	[DTYPE_I32] = { "I32", 4 },       [DTYPE_I64] = { "I64", 8 },
	[DTYPE_U8] = { "U8", 1 },         [DTYPE_U16] = { "U16", 2 },
	[DTYPE_U32] = { "U32", 4 },       [DTYPE_U64] = { "U64", 8 },
	[DTYPE_BOOL] = { "BOOL", 1 },     [DTYPE_F8_E4M3] = { "F8_E4M3", 1 },
	[DTYPE_F8_E5M2] = { "F8_E5M2", 1 },
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

enum dtype dtype_parse(const char *name)
{
	for (unsigned i = DTYPE_NONE + 1; i < N_ROWS; i++)
		if (!strcmp(rows[i].name, name))
			return (enum dtype)i;
	return DTYPE_NONE;
}

const char *dtype_name(enum dtype t)
{
	return t > DTYPE_NONE && (unsigned)t < N_ROWS ? rows[t].name : "none";
}

size_t dtype_size(enum dtype t)
{
	return t > DTYPE_NONE && (unsigned)t < N_ROWS ? rows[t].size : 0;
}

bool dtype_is_float(enum dtype t)
{
	return t == DTYPE_F32 || t == DTYPE_F16 || t == DTYPE_BF16;
}

static float from_bits(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof value);
	return value;
}

float bf16_to_f32(uint16_t bits)
{
	return from_bits((uint32_t)bits << 16);
}

float f16_to_f32(uint16_t bits)
{
	uint32_t sign = (uint32_t)(bits & 0x8000) << 16, exponent = bits >> 10 & 31, mantissa = bits & 1023;

	if (exponent == 31)
		return from_bits(sign | 0x7F800000 | mantissa << 13);
	if (exponent)
		return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
	/* Subnormal: mantissa * 2^-24, exact in float. */
	return (sign ? -1.0f : 1.0f) * (float)mantissa * 0x1p-24f;
}

uint16_t f32_to_bf16(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof bits);
	if ((bits & 0x7FFFFFFF) > 0x7F800000)
		return (uint16_t)(bits >> 16 | 0x40);   /* keep a NaN a NaN */
	return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/* The addition rounds: its sum has as many bits below as a half lacks. */
uint16_t f32_to_f16(float value)
{
	uint32_t bits, sign, magnitude;
	float rounded;

	memcpy(&bits, &value, sizeof bits);
	sign = bits >> 16 & 0x8000;
	magnitude = bits & 0x7FFFFFFF;
	if (magnitude >= 0x47800000)            /* 65536, infinite, NaN */
		return (uint16_t)(sign | (magnitude > 0x7F800000 ? 0x7E00 : 0x7C00));
	if (magnitude < 0x38800000) {           /* subnormal: counted in steps of 2^-24 */
		rounded = from_bits(magnitude) + 0.5f;
		memcpy(&bits, &rounded, sizeof bits);
		return (uint16_t)(sign | (bits - 0x3F000000));
	}
	magnitude += 0xFFF + (magnitude >> 13 & 1);
	return (uint16_t)(sign | (magnitude - 0x38000000) >> 13);
}

void dtype_to_f32(enum dtype t, const void *src, float *dst, size_t n)
{
	const unsigned char *p = src;
	uint16_t bits;

	if (t == DTYPE_F32) {
		memcpy(dst, src, n * sizeof *dst);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		memcpy(&bits, p + 2 * i, sizeof bits);
		dst[i] = t == DTYPE_F16 ? f16_to_f32(bits) : bf16_to_f32(bits);
	}
}
