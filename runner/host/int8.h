#ifndef EASEL_RUNNER_HOST_INT8_H
#define EASEL_RUNNER_HOST_INT8_H

#include <stdbool.h>
#include <stdint.h>

#include "runner/host/pool.h"

/*
 * Rows as signed bytes with one scale each, x = scale * code, and sums of their products
 * in integers. What is lost is in the codes: half of scale = max|x| / 127 an element.
 */

/* Whether this processor adds such products without saturating in between (VNNI). */
bool host_int8_exact(void);
/* Sums of longer rows could overflow. */
enum { HOST_INT8_COLS = INT32_MAX / (127 * 127) };

/* Codes of one row; returns its scale: 0 for zeros, NaN where x holds what is not finite. */
float host_int8_row(const float *x, int8_t *codes, size_t n);

/* C [m, n] = A [m, k] B [n, k]^T in int32; rows lda, ldb, ldc elements apart. In the calling thread. */
struct host_int8_matmul {
	uint32_t m, n, k;
	const int8_t *a, *b;
	void *c;
	size_t lda, ldb, ldc;
};
void host_int8_matmul(struct host_worker *w, const struct host_int8_matmul *p);

/* In place: row of n int32 sums to float32, sum * scale * column_scale + bias; bias may be NULL. */
void host_int8_finish(void *row, float scale, const float *column_scales, const float *bias, size_t n);

#endif
