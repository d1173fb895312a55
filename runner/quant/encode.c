/*
 * Floats to the grouped forms, group by group, with the codes that MLX gives them: formulas
 * and roundings of docs/BLOBS.md. In float32 and without contraction, so that the bytes are
 * the same on every machine. Owns nothing; any thread.
 */
#include "runner/quant/encode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runner/host/vector.h"

enum { GROUP_MAX = QUANT_ENCODE_GROUP, LANES = 8, EXPONENT_BIAS = 127 };

/* ---- codes ---- */

/* Nearest, ties to even; above 448 that. */
static inline unsigned char to_e4m3(float x)
{
	const float a = fabsf(x), small = rintf(a * 0x1p9f);
	uint32_t bits, sign, code;

	memcpy(&bits, &x, sizeof bits);
	sign = bits >> 24 & 0x80;
	memcpy(&bits, &a, sizeof bits);
	code = ((bits + 0x7ffff + (bits >> 20 & 1)) >> 20) - (120 << 3);
	code = a < 0x1p-6f ? (uint32_t)small : code;
	code = a < 464 ? code : 0x7e;
	return (unsigned char)(sign | code);
}

static inline float of_e4m3(unsigned char code)
{
	const uint32_t bits = (uint32_t)(code & 0x7f) << 20;
	float value;

	memcpy(&value, &bits, sizeof value);
	return value * 0x1p120f;
}

/* Nearest, ties toward zero; what rounds to zero has no sign. */
static inline unsigned char to_e2m1(float x)
{
	const float a = fabsf(x);
	const int code = (a > 0.25f) + (a > 0.75f) + (a > 1.25f) + (a > 1.75f) + (a > 2.5f) + (a > 3.5f) + (a > 5);

	return (unsigned char)(code | (x < 0 && code ? 8 : 0));
}

/* Low nibbles first. */
static void pack_nibbles(const unsigned char *restrict codes, unsigned char *restrict dst, size_t n)
{
	for (size_t i = 0; i < n / 2; i++)
		dst[i] = (unsigned char)(codes[2 * i] | codes[2 * i + 1] << 4);
}

/* ---- affine ---- */

struct line {
	float scale, bias;                      /* as the codes are made with: not rounded yet */
};

static struct line fit(const float *x, size_t n, float codes)
{
	float hi[LANES], lo[LANES], scale, edge, q0;
	bool side;

	for (int j = 0; j < LANES; j++)
		hi[j] = lo[j] = x[j];
	for (size_t i = LANES; i < n; i += LANES)
		for (int j = 0; j < LANES; j++) {
			hi[j] = x[i + j] > hi[j] ? x[i + j] : hi[j];
			lo[j] = x[i + j] < lo[j] ? x[i + j] : lo[j];
		}
	for (int j = 1; j < LANES; j++) {
		hi[0] = hi[j] > hi[0] ? hi[j] : hi[0];
		lo[0] = lo[j] < lo[0] ? lo[j] : lo[0];
	}
	side = fabsf(lo[0]) > fabsf(hi[0]);
	scale = (hi[0] - lo[0]) / codes;
	scale = scale > 1e-7f ? scale : 1e-7f;
	scale = side ? scale : -scale;
	edge = side ? lo[0] : hi[0];
	q0 = rintf(edge / scale);
	return q0 != 0 ? (struct line){ edge / q0, edge } : (struct line){ scale, 0 };
}

VECTOR static void affine_codes(const float *restrict x, size_t n, struct line l, float most,
				unsigned char *restrict dst)
{
	for (size_t i = 0; i < n; i++) {
		const float q = rintf((x[i] - l.bias) / l.scale), low = q > 0 ? q : 0;

		dst[i] = (unsigned char)(int)(low < most ? low : most);
	}
}

static void narrow(enum dtype t, float value, size_t i, void *array)
{
	unsigned char *at = (unsigned char *)array + i * dtype_size(t);
	uint16_t half;

	if (t == DTYPE_F32) {
		memcpy(at, &value, sizeof value);
		return;
	}
	half = t == DTYPE_F16 ? f32_to_f16(value) : f32_to_bf16(value);
	memcpy(at, &half, sizeof half);
}

static void affine_group(const struct quant *q, const float *x, size_t group, unsigned char *codes,
			 const struct quant_encoded *to)
{
	const float most = q->format == QUANT_INT8 ? 255 : 15;
	const struct line l = fit(x, q->group, most);

	affine_codes(x, q->group, l, most, codes);
	narrow(q->scale_dtype, l.scale, group, to->scale);
	narrow(q->scale_dtype, l.bias, group, to->bias);
}

/* ---- floats of a few bits ---- */

static float largest(const float *x, size_t n)
{
	float most = 0;

	for (size_t i = 0; i < n; i++)
		most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
	return most;
}

/* The least e with x <= 2^e. */
static int power_above(float x)
{
	int e;
	const float fraction = frexpf(x, &e);   /* in [1/2, 1) */

	return fraction == 0.5f ? e - 1 : e;
}

VECTOR static void e4m3_codes(const float *restrict x, size_t n, float divisor, unsigned char *restrict dst)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = to_e4m3(x[i] / divisor);
}

VECTOR static void e2m1_codes(const float *restrict x, size_t n, float divisor, unsigned char *restrict dst)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = to_e2m1(x[i] / divisor);
}

static void mx_group(const struct quant *q, const float *x, size_t group, unsigned char *codes,
		     const struct quant_encoded *to)
{
	const bool wide = q->format == QUANT_MXFP8;
	const float most = largest(x, q->group);
	int e = most > 0 && isfinite(most) ? power_above(most / (wide ? 448 : 6)) : 0;

	e = e < -EXPONENT_BIAS ? -EXPONENT_BIAS : e > EXPONENT_BIAS ? EXPONENT_BIAS : e;
	((unsigned char *)to->scale)[group] = (unsigned char)(e + EXPONENT_BIAS);
	(wide ? e4m3_codes : e2m1_codes)(x, q->group, ldexpf(1, e), codes);
}

static void nv_group(const struct quant *q, const float *x, size_t group, unsigned char *codes,
		     const struct quant_encoded *to)
{
	const unsigned char scale = to_e4m3(largest(x, q->group) / 6);

	((unsigned char *)to->scale)[group] = scale;
	if (scale)
		e2m1_codes(x, q->group, of_e4m3(scale), codes);
	else
		memset(codes, 0, q->group);
}

/* ---- any ---- */

typedef void (*encode_group)(const struct quant *q, const float *x, size_t group, unsigned char *codes,
			     const struct quant_encoded *to);
static const encode_group encoders[QUANT_FORMATS] = {
	[QUANT_INT8] = affine_group, [QUANT_INT4] = affine_group, [QUANT_MXFP8] = mx_group,
	[QUANT_MXFP4] = mx_group, [QUANT_NVFP4] = nv_group,
};

void quant_encode(const struct quant *q, const float *src, size_t n, const struct quant_encoded *to)
{
	const unsigned per_byte = quant_forms[q->format].block;
	unsigned char codes[GROUP_MAX], *data = to->data;

	for (size_t i = 0; i < n; i += q->group) {
		unsigned char *dst = data + i / per_byte;

		encoders[q->format](q, src + i, i / q->group, per_byte == 2 ? codes : dst, to);
		if (per_byte == 2)
			pack_nibbles(codes, dst, q->group);
	}
}
