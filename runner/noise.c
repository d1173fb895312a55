/*
 * The Gaussian noise a picture starts from: mt19937 and Box-Muller exactly as torch's
 * CPU generator uses them, so that a seed gives the picture the reference gives. Pure
 * computation on the caller's state; any thread.
 */
#include <math.h>

#include "runner/noise.h"

enum { N = 624, M = 397, GROUP = 16, HALF = GROUP / 2 };

static const double pi = 3.14159265358979323846;

void noise_seed(struct noise *n, uint64_t seed)
{
	uint32_t *s = n->state;
	uint32_t i;

	s[0] = (uint32_t)seed;
	for (i = 1; i < N; i++)
		s[i] = 1812433253u * (s[i - 1] ^ (s[i - 1] >> 30)) + i;
	n->index = N;
	n->has_spare = 0;
	n->spare = 0;
}

static void twist(uint32_t *s)
{
	unsigned i;

	for (i = 0; i < N; i++) {
		uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % N] & 0x7fffffffu);

		s[i] = s[(i + M) % N] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
	}
}

static uint32_t next32(struct noise *n)
{
	uint32_t y;

	if (n->index >= N) {
		twist(n->state);
		n->index = 0;
	}
	y = n->state[n->index++];
	y ^= y >> 11;
	y ^= (y << 7) & 0x9d2c5680u;
	y ^= (y << 15) & 0xefc60000u;
	return y ^ (y >> 18);
}

static float uniform_float(struct noise *n)
{
	return (float)(next32(n) & 0xffffffu) * 0x1p-24f;
}

static double uniform_double(struct noise *n)
{
	uint64_t high = next32(n);
	uint64_t bits = high << 32 | next32(n);

	return (double)(bits & ((UINT64_C(1) << 53) - 1)) * 0x1p-53;
}

/* Box-Muller in float32 over 16 uniforms: the first 8 are radii, the others angles. */
static void transform_group(float *d)
{
	int j;

	for (j = 0; j < HALF; j++) {
		float radius = sqrtf(-2.0f * logf(1.0f - d[j]));
		float angle = (float)(2.0 * pi) * d[j + HALF];

		d[j] = radius * cosf(angle);
		d[j + HALF] = radius * sinf(angle);
	}
}

static void fill_uniform(struct noise *n, float *out, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		out[i] = uniform_float(n);
}

static void draw_groups(struct noise *n, float *out, size_t count)
{
	size_t i;

	fill_uniform(n, out, count);
	for (i = 0; i + GROUP <= count; i += GROUP)
		transform_group(out + i);
	if (count % GROUP) {
		/* The reference redraws the last 16, over finished values. */
		fill_uniform(n, out + count - GROUP, GROUP);
		transform_group(out + count - GROUP);
	}
}

static double draw_one(struct noise *n)
{
	double radius, angle;

	if (n->has_spare) {
		n->has_spare = 0;
		return n->spare;
	}
	angle = 2.0 * pi * uniform_double(n);
	radius = sqrt(-2.0 * log1p(-uniform_double(n)));
	n->spare = radius * sin(angle);
	n->has_spare = 1;
	return radius * cos(angle);
}

void noise_draw(struct noise *n, float *out, size_t count)
{
	size_t i;

	if (count >= GROUP) {
		draw_groups(n, out, count);
		return;
	}
	for (i = 0; i < count; i++)
		out[i] = (float)draw_one(n);
}
