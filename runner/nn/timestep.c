/*
 * Sinusoidal timestep features, made on the host.
 */
#include <math.h>

#include "runner/nn/nn.h"

void nn_timestep_fill(float t, uint32_t half, float *ret)
{
	uint32_t i;

	for (i = 0; i < half; i++) {
		/* In float32 like the references: an ulp of the exponent turns the angle by 1e-4. */
		float angle = t * expf(-(float)log(10000.0) * (float)i / (float)half);

		ret[i] = cosf(angle);
		ret[half + i] = sinf(angle);
	}
}
