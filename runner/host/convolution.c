/*
 * Convolution primitives of oneDNN over bands of rows. Owns the kernel in the order that
 * the library asks for; primitives made alike come from the library's own cache.
 */
#include "runner/host/convolution.h"

#include <dnnl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct host_kernel {
	dnnl_engine_t engine;
	dnnl_memory_t weights, bias;
	dnnl_memory_desc_t order;               /* of weights */
	uint32_t n, c;
};

static int code_of(dnnl_status_t s)
{
	return s == dnnl_success ? 0 : s == dnnl_out_of_memory ? -ENOMEM : -ENOTSUP;
}

/* Channels last, as the rows of a tensor are. */
static dnnl_status_t picture(dnnl_memory_desc_t *md, uint32_t rows, uint32_t width, uint32_t channels)
{
	const dnnl_dims_t dims = { 1, channels, rows, width };

	return dnnl_memory_desc_init_by_tag(md, 4, dims, dnnl_f32, dnnl_nhwc);
}

static dnnl_status_t describe(const struct host_kernel *k, const struct host_band *b,
			      const dnnl_memory_desc_t *weights, dnnl_primitive_desc_t *ret)
{
	const dnnl_dims_t strides = { b->stride, b->stride }, bias_dims = { k->n };
	const dnnl_dims_t before = { b->above, b->left }, after = { b->below, b->right };
	dnnl_memory_desc_t x, y, bias;
	dnnl_convolution_desc_t d;
	dnnl_status_t s;

	if ((s = picture(&x, b->x_rows, b->x_width, k->c)) != dnnl_success ||
	    (s = picture(&y, b->rows, b->width, k->n)) != dnnl_success ||
	    (s = dnnl_memory_desc_init_by_tag(&bias, 1, bias_dims, dnnl_f32, dnnl_a)) != dnnl_success ||
	    (s = dnnl_convolution_forward_desc_init(&d, dnnl_forward_inference, dnnl_convolution_direct,
						    &x, weights, &bias, &y, strides, before,
						    after)) != dnnl_success)
		return s;
	return dnnl_primitive_desc_create(ret, &d, NULL, k->engine, NULL);
}

/* The order that the library computes in fastest. */
static dnnl_status_t choose_order(struct host_kernel *k, const struct host_band *typical)
{
	const dnnl_dims_t dims = { k->n, k->c, 3, 3 };
	dnnl_memory_desc_t any;
	dnnl_primitive_desc_t d = NULL;
	dnnl_status_t s;

	if ((s = dnnl_memory_desc_init_by_tag(&any, 4, dims, dnnl_f32, dnnl_format_tag_any)) != dnnl_success ||
	    (s = describe(k, typical, &any, &d)) != dnnl_success)
		return s;
	k->order = *dnnl_primitive_desc_query_md(d, dnnl_query_weights_md, 0);
	return dnnl_primitive_desc_destroy(d);
}

static dnnl_status_t execute(dnnl_engine_t engine, const_dnnl_primitive_desc_t d, int n,
			     const dnnl_exec_arg_t *args)
{
	dnnl_primitive_t p = NULL;
	dnnl_stream_t stream = NULL;
	dnnl_status_t s;

	if ((s = dnnl_primitive_create(&p, d)) == dnnl_success &&
	    (s = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags)) == dnnl_success &&
	    (s = dnnl_primitive_execute(p, stream, n, args)) == dnnl_success)
		s = dnnl_stream_wait(stream);
	dnnl_stream_destroy(stream);
	dnnl_primitive_destroy(p);
	return s;
}

/* Into the chosen order. */
static dnnl_status_t reorder(struct host_kernel *k, const float *taps, bool taps_last)
{
	const dnnl_dims_t dims = { k->n, k->c, 3, 3 };
	const dnnl_dim_t matrix = (dnnl_dim_t)k->n * k->c;
	const dnnl_dims_t first = { k->c, 1, 3 * matrix, matrix }, last = { 9 * k->c, 9, 3, 1 };
	dnnl_memory_desc_t stored;
	dnnl_memory_t from = NULL;
	dnnl_primitive_desc_t d = NULL;
	dnnl_status_t s;

	if ((s = dnnl_memory_desc_init_by_strides(&stored, 4, dims, dnnl_f32,
						  taps_last ? last : first)) == dnnl_success &&
	    (s = dnnl_memory_create(&from, &stored, k->engine, (void *)(uintptr_t)taps)) == dnnl_success &&
	    (s = dnnl_memory_create(&k->weights, &k->order, k->engine, DNNL_MEMORY_ALLOCATE)) == dnnl_success &&
	    (s = dnnl_reorder_primitive_desc_create(&d, &stored, k->engine, &k->order, k->engine,
						    NULL)) == dnnl_success)
		s = execute(k->engine, d, 2, (dnnl_exec_arg_t[]){
			{ DNNL_ARG_FROM, from }, { DNNL_ARG_TO, k->weights },
		});
	dnnl_primitive_desc_destroy(d);
	dnnl_memory_destroy(from);
	return s;
}

static dnnl_status_t bind_bias(struct host_kernel *k, const float *bias)
{
	const dnnl_dims_t dims = { k->n };
	dnnl_memory_desc_t md;
	const dnnl_status_t s = dnnl_memory_desc_init_by_tag(&md, 1, dims, dnnl_f32, dnnl_a);

	if (s != dnnl_success)
		return s;
	return dnnl_memory_create(&k->bias, &md, k->engine, (void *)(uintptr_t)bias);
}

int host_kernel_create(const float *taps, bool taps_last, const float *bias, uint32_t n, uint32_t c,
		       const struct host_band *typical, struct host_kernel **ret)
{
	struct host_kernel *k = calloc(1, sizeof *k);
	dnnl_status_t s;

	if (!k)
		return -ENOMEM;
	k->n = n;
	k->c = c;
	if ((s = dnnl_engine_create(&k->engine, dnnl_cpu, 0)) != dnnl_success ||
	    (s = choose_order(k, typical)) != dnnl_success ||
	    (s = reorder(k, taps, taps_last)) != dnnl_success ||
	    (s = bind_bias(k, bias)) != dnnl_success) {
		host_kernel_destroy(&k);
		return code_of(s);
	}
	*ret = k;
	return 0;
}

void host_kernel_destroy(struct host_kernel **pointer)
{
	struct host_kernel *k = *pointer;

	*pointer = NULL;
	if (!k)
		return;
	dnnl_memory_destroy(k->bias);
	dnnl_memory_destroy(k->weights);
	dnnl_engine_destroy(k->engine);
	free(k);
}

void host_convolve(const struct host_kernel *k, struct host_worker *w, const struct host_band *b)
{
	dnnl_memory_desc_t x, y;
	dnnl_memory_t from = NULL, to = NULL;
	dnnl_primitive_desc_t d = NULL;
	dnnl_status_t s;

	if ((s = picture(&x, b->x_rows, b->x_width, k->c)) == dnnl_success &&
	    (s = picture(&y, b->rows, b->width, k->n)) == dnnl_success &&
	    (s = dnnl_memory_create(&from, &x, k->engine, (void *)(uintptr_t)b->x)) == dnnl_success &&
	    (s = dnnl_memory_create(&to, &y, k->engine, b->y)) == dnnl_success &&
	    (s = describe(k, b, &k->order, &d)) == dnnl_success)
		s = execute(k->engine, d, 4, (dnnl_exec_arg_t[]){
			{ DNNL_ARG_SRC, from }, { DNNL_ARG_WEIGHTS, k->weights },
			{ DNNL_ARG_BIAS, k->bias }, { DNNL_ARG_DST, to },
		});
	dnnl_primitive_desc_destroy(d);
	dnnl_memory_destroy(to);
	dnnl_memory_destroy(from);
	if (s != dnnl_success)
		host_fail(w, code_of(s));
}
