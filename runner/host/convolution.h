#ifndef EASEL_RUNNER_HOST_CONVOLUTION_H
#define EASEL_RUNNER_HOST_CONVOLUTION_H

#include <stdint.h>

#include "runner/host/pool.h"

/*
 * 3x3 convolution of pictures [h, w, channels], float32, by oneDNN. A kernel is brought
 * into the library's own order once and used for any number of bands of rows.
 */
struct host_kernel;

/* Rows of the output and what of the input they see. */
struct host_band {
	const float *x;                         /* [x_rows, x_width, c] */
	float *y;                               /* [rows, width, n] */
	uint32_t x_rows, x_width, rows, width;
	uint32_t stride;                        /* 1 or 2 */
	uint32_t above, below, left, right;     /* border of zeros around x */
};

/*
 * taps [9, n, c], or [n, c, 9] (taps_last), is copied, bias [n] must stay; typical: the shape of most bands to come.
 * Owner's thread. -ENOMEM, or -ENOTSUP when the library has no such convolution.
 */
int host_kernel_create(const float *taps, bool taps_last, const float *bias, uint32_t n, uint32_t c,
		       const struct host_band *typical, struct host_kernel **ret);
void host_kernel_destroy(struct host_kernel **k);
/* Bands may be computed by several threads at once. */
void host_convolve(const struct host_kernel *k, struct host_worker *w, const struct host_band *b);

#endif
