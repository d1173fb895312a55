/*
 * Rotary tables, made on the host with the references' own roundings, which differ.
 */
#include <math.h>

#include "runner/nn/nn.h"

static double angle_of(uint32_t position, uint32_t i, uint32_t dim, double theta, enum rope_angle rounding)
{
	double angle;

	if (rounding == ROPE_ANGLE_FLOAT)
		return (float)position * (1 / powf((float)theta, (float)(2 * i) / (float)dim));
	angle = position * (1 / pow(theta, 2.0 * i / dim));
	return rounding == ROPE_ANGLE_ROUNDED ? (float)angle : angle;
}

void nn_rope_fill(float *row, uint32_t head_dim, uint32_t pair0, uint32_t position, uint32_t dim,
		  double theta, enum rope_angle rounding)
{
	uint32_t i;

	for (i = 0; i < dim / 2; i++) {
		double angle = angle_of(position, i, dim, theta, rounding);

		row[pair0 + i] = (float)cos(angle);
		row[head_dim / 2 + pair0 + i] = (float)sin(angle);
	}
}

void nn_rope_axes(float *row, uint32_t head_dim, unsigned n, const uint32_t *dims,
		  const uint32_t *position, double theta, enum rope_angle rounding)
{
	uint32_t pair = 0;
	unsigned i;

	for (i = 0; i < n; pair += dims[i++] / 2)
		nn_rope_fill(row, head_dim, pair, position[i], dims[i], theta, rounding);
}
