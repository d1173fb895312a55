/*
 * Rotary tables, made on the host with the references' own roundings, which differ.
 */
#include <math.h>

#include "runner/nn/nn.h"

/* diffusers multiplies in double and rounds the angle; transformers works in float throughout. */
static float angle_of(uint32_t position, uint32_t i, uint32_t dim, double theta, enum rope_layout layout)
{
	if (layout == ROPE_INTERLEAVED)
		return (float)(position * (1 / pow(theta, 2.0 * i / dim)));
	return (float)position * (1 / powf((float)theta, (float)(2 * i) / (float)dim));
}

void nn_rope_fill(float *row, uint32_t head_dim, uint32_t pair0, uint32_t position, uint32_t dim,
		  double theta, enum rope_layout layout)
{
	uint32_t i;

	for (i = 0; i < dim / 2; i++) {
		double angle = angle_of(position, i, dim, theta, layout);

		row[pair0 + i] = (float)cos(angle);
		row[head_dim / 2 + pair0 + i] = (float)sin(angle);
	}
}
