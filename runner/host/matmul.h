#ifndef EASEL_RUNNER_HOST_MATMUL_H
#define EASEL_RUNNER_HOST_MATMUL_H

#include <stdbool.h>
#include <stdint.h>

#include "runner/host/pool.h"

/*
 * C = scale * A B^T (transposed) or scale * A B, added to C when add. Row-major float32
 * A [m, k], B [n, k] or [k, n], C [m, n] with rows lda, ldb, ldc floats apart. In the calling thread.
 */
struct host_matmul {
	uint32_t m, n, k;
	const float *a, *b;
	float *c;
	size_t lda, ldb, ldc;
	float scale;
	bool transposed, add;
};
void host_matmul(struct host_worker *w, const struct host_matmul *p);

/*
 * C = A B^T with A [m, k] and B [n, k] of bfloat16, dense, at multiples of 2 bytes, sums in
 * float32. Fast only where host_has_bf16(). In the calling thread.
 */
struct host_matmul_bf16 {
	uint32_t m, n, k;
	const uint16_t *a, *b;
	float *c;
	size_t ldc;
};
void host_matmul_bf16(struct host_worker *w, const struct host_matmul_bf16 *p);
bool host_has_bf16(void);                       /* the processor multiplies pairs of bfloat16 */

#endif
