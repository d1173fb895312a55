#ifndef EASEL_RUNNER_NOISE_H
#define EASEL_RUNNER_NOISE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Standard normal numbers equal to torch.randn(n, generator=torch.Generator("cpu")
 * .manual_seed(seed)) in float32. Only the low 32
 * bits of the seed count there.
 */
struct noise {
	uint32_t state[624];
	unsigned index;
	double spare;                           /* of draws of fewer than 16 */
	int has_spare;
};
void noise_seed(struct noise *n, uint64_t seed);
void noise_draw(struct noise *n, float *out, size_t count);     /* one randn() call */

#endif
