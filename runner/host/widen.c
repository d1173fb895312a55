/*
 * Stored numbers to float32, as fast as memory gives them. Any thread.
 */
#include "runner/host/widen.h"

#include <stdint.h>
#include <string.h>

#include "runner/host/vector.h"

VECTOR static void widen_bf16(const unsigned char *src, float *dst, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint16_t stored;
		uint32_t bits;

		memcpy(&stored, src + 2 * i, sizeof stored);
		bits = (uint32_t)stored << 16;
		memcpy(dst + i, &bits, sizeof bits);
	}
}

/*
 * Exponent and fraction are moved in place and the exponent's bias made good by a
 * product, which also brings subnormals right; infinities and NaNs get the full exponent.
 */
VECTOR static void widen_f16(const unsigned char *src, float *dst, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint16_t stored;
		uint32_t bits, sign;
		float value;

		memcpy(&stored, src + 2 * i, sizeof stored);
		sign = (uint32_t)(stored & 0x8000) << 16;
		bits = (uint32_t)(stored & 0x7fff) << 13;
		memcpy(&value, &bits, sizeof value);
		value *= 0x1p112f;
		memcpy(&bits, &value, sizeof bits);
		bits |= (stored & 0x7c00) == 0x7c00 ? 0x7f800000 : 0;
		bits |= sign;
		memcpy(dst + i, &bits, sizeof bits);
	}
}

void host_widen(enum dtype t, const void *src, float *dst, size_t n)
{
	switch (t) {
	case DTYPE_BF16:
		widen_bf16(src, dst, n);
		return;
	case DTYPE_F16:
		widen_f16(src, dst, n);
		return;
	default:
		memcpy(dst, src, n * sizeof *dst);
	}
}

VECTOR void host_round_bf16(const float *src, uint16_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t bits, rounded;

		memcpy(&bits, src + i, sizeof bits);
		rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
		dst[i] = (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded);
	}
}
