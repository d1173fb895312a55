/*
 * Rotary tables, made on the host: angles in double, cosines and sines stored as float.
 */
#include <math.h>

#include "runner/nn/nn.h"

void nn_rope_fill(float *row, uint32_t head_dim, uint32_t pair0, double position, uint32_t dim,
		  double theta)
{
	uint32_t i;

	for (i = 0; i < dim / 2; i++) {
		double angle = position * pow(theta, -2.0 * i / dim);

		row[pair0 + i] = (float)cos(angle);
		row[head_dim / 2 + pair0 + i] = (float)sin(angle);
	}
}
