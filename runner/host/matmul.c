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

static dnnl_status_t matrix(dnnl_memory_desc_t *md, uint32_t rows, uint32_t cols, dnnl_data_type_t t,
			    dnnl_dim_t row_stride, dnnl_dim_t col_stride)
{
	const dnnl_dims_t dims = { rows, cols }, strides = { row_stride, col_stride };

	return dnnl_memory_desc_init_by_strides(md, 2, dims, t, strides);
}

static dnnl_status_t multiply(dnnl_engine_t engine, const struct host_matmul_bf16 *p)
{
	dnnl_memory_desc_t a, b, c;
	dnnl_matmul_desc_t d;
	dnnl_primitive_desc_t pd = NULL;
	dnnl_primitive_t primitive = NULL;
	dnnl_memory_t from = NULL, weights = NULL, to = NULL;
	dnnl_stream_t stream = NULL;
	dnnl_status_t s;

	if ((s = matrix(&a, p->m, p->k, dnnl_bf16, p->k, 1)) == dnnl_success &&
	    (s = matrix(&b, p->k, p->n, dnnl_bf16, 1, p->k)) == dnnl_success &&
	    (s = matrix(&c, p->m, p->n, dnnl_f32, (dnnl_dim_t)p->ldc, 1)) == dnnl_success &&
	    (s = dnnl_matmul_desc_init(&d, &a, &b, NULL, &c)) == dnnl_success &&
	    (s = dnnl_primitive_desc_create(&pd, &d, NULL, engine, NULL)) == dnnl_success &&
	    (s = dnnl_primitive_create(&primitive, pd)) == dnnl_success &&
	    (s = dnnl_memory_create(&from, &a, engine, (void *)(uintptr_t)p->a)) == dnnl_success &&
	    (s = dnnl_memory_create(&weights, &b, engine, (void *)(uintptr_t)p->b)) == dnnl_success &&
	    (s = dnnl_memory_create(&to, &c, engine, p->c)) == dnnl_success &&
	    (s = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags)) == dnnl_success &&
	    (s = dnnl_primitive_execute(primitive, stream, 3, (dnnl_exec_arg_t[]){
		{ DNNL_ARG_SRC, from }, { DNNL_ARG_WEIGHTS, weights }, { DNNL_ARG_DST, to },
	    })) == dnnl_success)
		s = dnnl_stream_wait(stream);
	dnnl_stream_destroy(stream);
	dnnl_memory_destroy(to);
	dnnl_memory_destroy(weights);
	dnnl_memory_destroy(from);
	dnnl_primitive_destroy(primitive);
	dnnl_primitive_desc_destroy(pd);
	return s;
}

void host_matmul_bf16(struct host_worker *w, const struct host_matmul_bf16 *p)
{
	dnnl_engine_t engine = NULL;
	dnnl_status_t s = dnnl_engine_create(&engine, dnnl_cpu, 0);

	if (s == dnnl_success)
		s = multiply(engine, p);
	dnnl_engine_destroy(engine);
	if (s != dnnl_success)
		host_fail(w, s == dnnl_out_of_memory ? -ENOMEM : -ENOTSUP);
}

bool host_has_bf16(void)
{
#if defined(__x86_64__)
	return __builtin_cpu_supports("avx512bf16");
#else
	return false;
#endif
}
