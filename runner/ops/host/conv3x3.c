/*
 * 3x3 convolution in bands of picture rows, one a task. The library reads whole floats of
 * channels side by side, so where the input is scaled up or normalized on the way, or its
 * rows are padded, a band's window of it is made in scratch first; channels are then counted with
 * their padding, which weighs nothing.
 */
#include <errno.h>
#include <string.h>

#include "runner/host/convolution.h"
#include "runner/host/widen.h"
#include "runner/ops/host/group_norm.h"
#include "runner/ops/host/host_ops.h"
#include "runner/ops/host/rows.h"
#include "runner/ops/params.h"

enum {
	TAPS = 9,
	BAND_FLOATS = 1 << 20,                  /* of a window, at most */
	BANDS_A_THREAD = 2,
	TAPS_SLOT = 0, BIAS_SLOT = 1,           /* of shared scratch */
};

struct conv_job {
	const struct host_call *call;
	const struct conv3x3_params *params;
	struct host_kernel *kernel;
	uint32_t band;                          /* rows of the output a task */
	bool window;                            /* of the input is made in scratch */
};

/* As they lie, with both channel counts padded to those of the tensors' rows. */
static const float *widen_taps(const struct host_call *c)
{
	const struct weight *w = c->node->weights[0];
	const uint32_t n = w->dim[1], k = w->dim[2];
	/* [9, n, c], or one block of [n, 9 c] */
	const uint32_t blocks = w->taps_last ? 1 : TAPS, each = w->taps_last ? TAPS : 1;
	const uint32_t wide_n = tensor_stride(c->node->out), wide_k = tensor_stride(c->node->in[0]);
	float *taps = host_shared(c->pool, TAPS_SLOT, (size_t)TAPS * wide_n * wide_k * sizeof *taps);

	if (!taps || (n == wide_n && k == wide_k)) {
		if (taps)
			host_widen(w->dtype, c->weights[0], taps, (size_t)TAPS * n * k);
		return taps;
	}
	memset(taps, 0, (size_t)TAPS * wide_n * wide_k * sizeof *taps);
	for (uint32_t b = 0; b < blocks; b++)
		for (uint32_t i = 0; i < n; i++)
			dtype_to_f32(w->dtype,
				     (const unsigned char *)c->weights[0] +
				     ((size_t)b * n + i) * k * each * dtype_size(w->dtype),
				     taps + ((size_t)b * wide_n + i) * wide_k * each, (size_t)k * each);
	return taps;
}

static const float *widen_bias(const struct host_call *c)
{
	const uint32_t n = c->node->out.cols, wide = tensor_stride(c->node->out);
	float *bias = host_shared(c->pool, BIAS_SLOT, wide * sizeof *bias);

	if (!bias)
		return NULL;
	memset(bias + n, 0, (wide - n) * sizeof *bias);
	dtype_to_f32(c->node->weights[1]->dtype, c->weights[1], bias, n);
	return bias;
}

/* The band of output rows [row0, row0 + rows): what it reads, in rows of the picture as it is read. */
static struct host_band band_at(const struct conv_job *j, uint32_t row0, uint32_t rows, uint32_t *ret_first)
{
	const struct conv3x3_params *p = j->params;
	const uint32_t read_h = p->height * p->stride, read_w = p->width * p->stride;
	const uint32_t before = 2 - p->stride;  /* at stride 2 the border is right and below only */
	const uint32_t first = row0 * p->stride, last = (row0 + rows - 1) * p->stride + 2;     /* + before */
	const uint32_t begin = first < before ? 0 : first - before;
	const uint32_t end = last - before + 1 > read_h ? read_h : last - before + 1;

	*ret_first = begin;
	return (struct host_band){
		.rows = rows, .width = p->width, .x_rows = end - begin, .x_width = read_w, .stride = p->stride,
		.above = first < before ? before : 0, .left = before, .right = 1,
		.below = last - before + 1 - end,
	};
}

static void make_pixel(const struct conv_job *j, const struct host_group_norm *norm, uint32_t row, float *to)
{
	const T x = j->call->node->in[0];
	const float *from = host_in(j->call, 0, row);

	if (j->params->prologue)
		host_group_norm_row(norm, j->params->prologue == CONV3X3_NORM_SILU, from, to, x.cols);
	else
		memcpy(to, from, x.cols * sizeof *to);
	for (uint32_t i = x.cols; i < tensor_stride(x); i++)
		to[i] = 0;
}

/* Rows [first, first + rows) of the input as it is read, channels padded with zeros. */
static const float *make_window(const struct conv_job *j, struct host_worker *w, const struct host_band *b,
				uint32_t first)
{
	const uint32_t shift = j->params->shift, stored_w = b->x_width >> shift;
	const uint32_t stride = tensor_stride(j->call->node->in[0]);
	float *window = host_scratch(w, 0, (size_t)b->x_rows * b->x_width * stride * sizeof *window);
	struct host_group_norm norm = { 0 };
	float *to = window;

	if (j->params->prologue &&
	    !host_group_norm_load(j->call, w, host_in(j->call, 1, 0), CONV3X3_NORM_WEIGHT, 1, &norm))
		return NULL;
	for (uint32_t y = first; window && y < first + b->x_rows; y++)
		for (uint32_t px = 0; px < b->x_width; px++, to += stride)
			make_pixel(j, &norm, (y >> shift) * stored_w + (px >> shift), to);
	return window;
}

static void one_band(const void *context, struct host_worker *w, uint64_t i)
{
	const struct conv_job *j = context;
	const uint32_t row0 = (uint32_t)i * j->band, left = j->params->height - row0;
	uint32_t first;
	struct host_band b = band_at(j, row0, smaller(left, j->band), &first);

	b.y = host_out(j->call, row0 * b.width);
	b.x = j->window ? make_window(j, w, &b, first) : host_in(j->call, 0, first * b.x_width);
	if (b.x)
		host_convolve(j->kernel, w, &b);
}

static uint32_t band_rows(const struct conv_job *j)
{
	const uint32_t threads = host_pool_threads(j->call->pool), h = j->params->height;
	const uint32_t row = j->params->width * j->params->stride * tensor_stride(j->call->node->in[0]);
	const uint32_t share = ceil_div(h, BANDS_A_THREAD * threads);
	const uint32_t most = BAND_FLOATS / row / j->params->stride;
	const uint32_t rows = smaller(share, most);

	return rows ? rows : 1;
}

void host_conv3x3(const struct host_call *c)
{
	struct conv_job job = { .call = c, .params = node_params(c->node) };
	const float *taps = widen_taps(c), *bias = widen_bias(c);
	struct host_band typical;
	uint32_t first;
	int r;

	if (!taps || !bias)
		return;
	job.band = band_rows(&job);
	job.window = job.params->shift || job.params->prologue || c->node->in[0].cols % 4;
	typical = band_at(&job, job.params->height > 2 * job.band ? job.band : 0, job.band, &first);
	r = host_kernel_create(taps, c->node->weights[0]->taps_last, bias, tensor_stride(c->node->out),
			       tensor_stride(c->node->in[0]), &typical, &job.kernel);
	if (r < 0) {
		host_pool_fail(c->pool, r);
		return;
	}
	host_run(c->pool, ceil_div(job.params->height, job.band), one_band, &job);
	host_kernel_destroy(&job.kernel);
}
