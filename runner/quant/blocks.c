/*
 * GGUF's blocks to float32. Any thread.
 *
 *   q8_0  f16 d, s8 q[32]: d q
 *   q4_0  f16 d, u4 q[32], the first half in the low nibbles: d (q - 8)
 *   q4_k  f16 d, f16 m, eight pairs of 6 bits (scale, least), u4 q[256]:
 *         per 32 elements d scale q - m least
 *   q5_k  the same with a fifth bit of every code in an array before the others
 *   q6_k  low four bits of q[256], high two bits, s8 scale[16], f16 d:
 *         per 16 elements d scale (q - 32)
 */
#include "runner/quant/blocks.h"

#include <string.h>

#include "runner/host/vector.h"

static float half_at(const unsigned char *p)
{
	uint16_t bits;

	memcpy(&bits, p, sizeof bits);
	return f16_to_f32(bits);
}

VECTOR static void block_q8_0(const unsigned char *restrict b, float *restrict dst)
{
	const float d = half_at(b);

	for (int i = 0; i < 32; i++)
		dst[i] = d * (float)(signed char)b[2 + i];
}

VECTOR static void block_q4_0(const unsigned char *restrict b, float *restrict dst)
{
	const float d = half_at(b);

	for (int i = 0; i < 16; i++) {
		dst[i] = d * (float)((b[2 + i] & 15) - 8);
		dst[16 + i] = d * (float)((b[2 + i] >> 4) - 8);
	}
}

/* Pairs 0 to 3 lie in the low six bits of bytes 0-3 and 4-7; the others' high bits above those. */
static void pair_of(const unsigned char p[12], int i, float *ret_scale, float *ret_least)
{
	if (i < 4) {
		*ret_scale = p[i] & 63;
		*ret_least = p[i + 4] & 63;
	} else {
		*ret_scale = (float)((p[i + 4] & 15) | (p[i - 4] >> 6) << 4);
		*ret_least = (float)((p[i + 4] >> 4) | (p[i] >> 6) << 4);
	}
}

/* high: fifth bits, [32], bit i of a byte for the i-th run of 32 elements; NULL: none. */
VECTOR static void block_k(const unsigned char *b, const unsigned char *high, const unsigned char *codes,
			   float *restrict dst)
{
	const float d = half_at(b), m = half_at(b + 2);

	for (int run = 0; run < 8; run++, dst += 32) {
		const unsigned char *q = codes + 32 * (run / 2);
		const int shift = 4 * (run % 2);
		float scale, least;

		pair_of(b + 4, run, &scale, &least);
		scale *= d;
		least *= m;
		if (high)
			for (int i = 0; i < 32; i++)
				dst[i] = scale * (float)((q[i] >> shift & 15) | (high[i] >> run & 1) << 4) - least;
		else
			for (int i = 0; i < 32; i++)
				dst[i] = scale * (float)(q[i] >> shift & 15) - least;
	}
}

static void block_q4_k(const unsigned char *b, float *dst)
{
	block_k(b, NULL, b + 16, dst);
}

static void block_q5_k(const unsigned char *b, float *dst)
{
	block_k(b, b + 16, b + 48, dst);
}

VECTOR static void block_q6_k(const unsigned char *restrict b, float *restrict dst)
{
	const float d = half_at(b + 208);

	for (int run = 0; run < 16; run++, dst += 16) {
		const int half = run / 8, part = run / 2 % 4;
		const unsigned char *low = b + 64 * half + 32 * (part % 2) + 16 * (run % 2);
		const unsigned char *high = b + 128 + 32 * half + 16 * (run % 2);
		const float scale = d * (float)(signed char)b[192 + run];
		const int shift = part < 2 ? 0 : 4;

		for (int i = 0; i < 16; i++) {
			const int q = (low[i] >> shift & 15) | (high[i] >> 2 * part & 3) << 4;

			dst[i] = scale * (float)(q - 32);
		}
	}
}

void quant_block(enum quant_format f, const unsigned char *block, float *dst)
{
	static void (*const blocks[QUANT_FORMATS])(const unsigned char *, float *) = {
		[QUANT_Q8_0] = block_q8_0, [QUANT_Q4_0] = block_q4_0, [QUANT_Q4_K] = block_q4_k,
		[QUANT_Q5_K] = block_q5_k, [QUANT_Q6_K] = block_q6_k,
	};

	blocks[f](block, dst);
}
