/*
 * Chooses how kernels read a weight. Pure.
 */
#include "runner/ops/weight_access.h"

/* The codes of shaders/lib/weight.glsl and quant.glsl; forms have there the values they have here. */
enum { CODE_F32 = 1, CODE_F16 = 2, CODE_BF16 = 3, CODE_E8M0 = 4, CODE_E4M3 = 5, CODE_QUANT = 16 };
enum { WIDE16 = 0, WIDE8 = 1, SCALAR = 2 };

bool weight_given(const struct weight *w)
{
	return w && w->rank;
}

static uint32_t dtype_code(enum dtype t)
{
	return t == DTYPE_F32 ? CODE_F32 : t == DTYPE_F16 ? CODE_F16 : CODE_BF16;
}

static uint32_t row_length(const struct weight *w)
{
	return w->dim[w->rank - 1];
}

struct weight_access weight_access_single(const struct weight *w)
{
	if (!weight_given(w))
		return (struct weight_access){ .format = VK_R32_UINT };
	return (struct weight_access){
		.dtype = dtype_code(w->dtype),
		.mode = SCALAR,
		.format = w->dtype == DTYPE_F32 ? VK_R32_UINT : VK_R16_UINT,
		.stride = row_length(w),
	};
}

uint32_t weight_access_scale(const struct weight *w)
{
	switch (quant_forms[w->quant.format].scales) {
	case QUANT_SCALES_E8M0:
		return CODE_E8M0;
	case QUANT_SCALES_E4M3:
		return CODE_E4M3;
	default:
		return dtype_code(w->quant.scale_dtype);
	}
}

struct push_quant weight_access_quant(const struct weight *w)
{
	const struct quant *q = &w->quant;

	return (struct push_quant){
		.data = w->offset % 4, .scale = w->scale.offset % 4, .bias = w->bias.offset % 4,
		.row_bytes = (uint32_t)quant_sizes(q, 1, row_length(w)).row_bytes,
		.group = q->group, .group_rows = q->group_rows, .row0 = q->row0, .global = q->global,
	};
}

/* SCALAR where a row ends within eight elements, so that x is cut off there too. */
static struct weight_access quantised_rows(const struct weight *w)
{
	return (struct weight_access){
		.dtype = CODE_QUANT + w->quant.format, .mode = row_length(w) % 8 ? SCALAR : WIDE16,
		.format = VK_R32_UINT, .stride = 1,
	};
}

struct weight_access weight_access_rows(const struct weight *w)
{
	struct weight_access a = weight_access_single(w);
	uint32_t row_bytes;

	if (weight_quantised(w))
		return quantised_rows(w);
	if (!a.dtype || row_length(w) % 8 || w->offset % 8)
		return a;
	row_bytes = row_length(w) * (uint32_t)dtype_size(w->dtype);
	a.mode = w->offset % 16 ? WIDE8 : WIDE16;
	a.format = a.mode == WIDE8 ? VK_R32G32_UINT : VK_R32G32B32A32_UINT;
	a.stride = row_bytes / vk_format_bytes(a.format);
	return a;
}

struct weight_access weight_access_quads(const struct weight *w)
{
	struct weight_access a = weight_access_single(w);
	const uint32_t quad_bytes = w && w->dtype == DTYPE_F32 ? 16 : 8;

	if (!a.dtype || row_length(w) % 4 || w->offset % quad_bytes)
		return a;
	a.mode = WIDE16;
	a.format = quad_bytes == 16 ? VK_R32G32B32A32_UINT : VK_R32G32_UINT;
	a.stride = row_length(w) / 4;
	return a;
}
