/*
 * The matrix product of host kernels: oneDNN's. Any thread.
 */
#include "runner/host/matmul.h"

#include <dnnl.h>
#include <errno.h>

void host_matmul(struct host_worker *w, const struct host_matmul *p)
{
	const dnnl_status_t s = dnnl_sgemm('N', p->transposed ? 'T' : 'N', p->m, p->n, p->k, p->scale,
					   p->a, (dnnl_dim_t)p->lda, p->b, (dnnl_dim_t)p->ldb,
					   p->add ? 1 : 0, p->c, (dnnl_dim_t)p->ldc);

	if (s != dnnl_success)
		host_fail(w, s == dnnl_out_of_memory ? -ENOMEM : -EINVAL);
}
