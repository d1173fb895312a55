#ifndef EASEL_RUNNER_QUANT_ENCODE_H
#define EASEL_RUNNER_QUANT_ENCODE_H

#include "runner/quant/quant.h"

/* Where codes, scales and biases (of affine forms) of some whole groups go: any addresses. */
struct quant_encoded {
	void *data, *scale, *bias;
};
enum { QUANT_ENCODE_GROUP = 128 };              /* elements of a group at most, at least 8, a multiple of that */
/*
 * n elements, whole groups of q, to int8, int4, mxfp8, mxfp4 or nvfp4, bit for bit as MLX
 * does it. Groups do not depend on one another: a matrix of whole groups a row can be given
 * in pieces. The weights are taken to be finite.
 */
void quant_encode(const struct quant *q, const float *src, size_t n, const struct quant_encoded *to);

#endif
