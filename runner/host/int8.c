/*
 * Matrix products of signed bytes: oneDNN's, and the loops before and after. Any thread.
 */
#include "runner/host/int8.h"

#include <dnnl.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "runner/host/vector.h"

#define INFINITE 0x7f800000u            /* bits; a NaN is above */
#define LEAST 1e-30f                    /* what is below has no scale whose inverse is finite */

bool host_int8_exact(void)
{
	const int isa = (int)dnnl_get_effective_cpu_isa(), vnni = (int)dnnl_cpu_isa_avx512_core_vnni;

	return (isa & vnni) == vnni;
}

/* As bits, in whose order infinities and NaNs come last. */
VECTOR static uint32_t greatest(const float *x, size_t n)
{
	uint32_t most = 0;

	for (size_t i = 0; i < n; i++) {
		uint32_t bits;

		memcpy(&bits, x + i, sizeof bits);
		bits &= 0x7fffffff;
		most = bits > most ? bits : most;
	}
	return most;
}

VECTOR static void codes_of(const float *restrict x, int8_t *restrict codes, size_t n, float inverse)
{
	for (size_t i = 0; i < n; i++)
		codes[i] = (int8_t)(int32_t)rintf(x[i] * inverse);
}

float host_int8_row(const float *x, int8_t *codes, size_t n)
{
	const uint32_t bits = greatest(x, n);
	float most;

	memcpy(&most, &bits, sizeof most);
	if (bits >= INFINITE || most < LEAST) {
		memset(codes, 0, n);
		return bits >= INFINITE ? NAN : 0;
	}
	codes_of(x, codes, n, 127 / most);
	return most / 127;
}

void host_int8_matmul(struct host_worker *w, const struct host_int8_matmul *p)
{
	const int32_t none = 0;
	const dnnl_status_t s = dnnl_gemm_s8s8s32('N', 'T', 'F', p->m, p->n, p->k, 1, p->a, (dnnl_dim_t)p->lda, 0,
						  p->b, (dnnl_dim_t)p->ldb, 0, 0, p->c, (dnnl_dim_t)p->ldc, &none);

	if (s != dnnl_success)
		host_fail(w, s == dnnl_out_of_memory ? -ENOMEM : -EINVAL);
}

VECTOR void host_int8_finish(void *row, float scale, const float *column_scales, const float *bias, size_t n)
{
	float *y = row;

	for (size_t i = 0; i < n; i++) {
		int32_t sum;

		memcpy(&sum, y + i, sizeof sum);
		y[i] = (float)sum * (scale * column_scales[i]);
	}
	for (size_t i = 0; bias && i < n; i++)
		y[i] += bias[i];
}
