#ifndef EASEL_RUNNER_HOST_VECTOR_H
#define EASEL_RUNNER_HOST_VECTOR_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/*
 * Loops that the compiler turns into vector code: a function marked VECTOR is compiled
 * for several instruction sets, chosen when the program starts.
 */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define VECTOR __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define VECTOR
#endif
/* Before a loop whose result may lie exactly where an operand does. */
#if defined(__clang__)
#define IN_PLACE _Pragma("clang loop vectorize(assume_safety)")
#else
#define IN_PLACE _Pragma("GCC ivdep")
#endif

/*
 * exp(x) to about an ulp without a call, so that loops over it become vector code: 2^n
 * times a polynomial (Cephes expf). Below -87.3 it is the smallest normal number, which
 * vanishes in what is summed here; a NaN stays one.
 */
static inline float vector_exp(float x)
{
	const float low = x < -87.3f ? -87.3f : x, bounded = low > 88.3f ? 88.3f : low;
	const float n = rintf(bounded * 1.44269504f);
	const float r = (bounded - n * 0.693359375f) - n * -2.12194440e-4f;
	float p = 1.9875691500e-4f, power;
	uint32_t bits;

	p = p * r + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	bits = (uint32_t)((int32_t)n + 127) << 23;
	memcpy(&power, &bits, sizeof power);
	return (p * r * r + r + 1) * power;
}

static inline float vector_silu(float x)
{
	return x / (1 + vector_exp(-x));
}

#endif
