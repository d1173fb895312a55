/*
 * The table of stored forms, and the sizes that follow from it. Owns nothing; any thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "runner/quant/quant.h"

enum { WORD = 4, ANY = 0 };

const struct quant_form quant_forms[QUANT_FORMATS] = {
	/*                   name     block bytes align  scales               group bias   rows */
	[QUANT_NONE]      = { "none",      1,   0, 1,    QUANT_SCALES_INSIDE, ANY, false, false },
	[QUANT_INT8]      = { "int8",      1,   1, WORD, QUANT_SCALES_FLOAT,  ANY, true,  false },
	[QUANT_INT4]      = { "int4",      2,   1, WORD, QUANT_SCALES_FLOAT,  ANY, true,  false },
	[QUANT_MXFP8]     = { "mxfp8",     1,   1, WORD, QUANT_SCALES_E8M0,   32,  false, false },
	[QUANT_MXFP4]     = { "mxfp4",     2,   1, WORD, QUANT_SCALES_E8M0,   32,  false, false },
	[QUANT_NVFP4]     = { "nvfp4",     2,   1, WORD, QUANT_SCALES_E4M3,   16,  false, false },
	[QUANT_FP8]       = { "fp8_e4m3",  1,   1, 1,    QUANT_SCALES_FLOAT,  ANY, false, true },
	[QUANT_INT8_ROWS] = { "int8_rows", 1,   1, 1,    QUANT_SCALES_FLOAT,  ANY, false, false },
	[QUANT_Q8_0]      = { "q8_0",     32,  34, 1,    QUANT_SCALES_INSIDE, ANY, false, false },
	[QUANT_Q4_0]      = { "q4_0",     32,  18, 1,    QUANT_SCALES_INSIDE, ANY, false, false },
	[QUANT_Q4_K]      = { "q4_k",    256, 144, 1,    QUANT_SCALES_INSIDE, ANY, false, false },
	[QUANT_Q5_K]      = { "q5_k",    256, 176, 1,    QUANT_SCALES_INSIDE, ANY, false, false },
	[QUANT_Q6_K]      = { "q6_k",    256, 210, 1,    QUANT_SCALES_INSIDE, ANY, false, false },
};

enum quant_format quant_parse(const char *name)
{
	for (unsigned i = QUANT_NONE + 1; i < QUANT_FORMATS; i++)
		if (!strcmp(quant_forms[i].name, name))
			return (enum quant_format)i;
	return QUANT_NONE;
}

static uint64_t ceil_div64(uint64_t a, uint64_t b)
{
	return (a + b - 1) / b;
}

static uint64_t scale_bytes(const struct quant *q)
{
	return quant_forms[q->format].scales == QUANT_SCALES_FLOAT ? dtype_size(q->scale_dtype) : 1;
}

/* Whether the form has such groups: nothing is divided by them before. */
static bool grouped_well(const struct quant *q, const struct quant_form *f)
{
	if (f->scales == QUANT_SCALES_INSIDE)
		return true;
	if (!q->group || !q->group_rows || (f->group && q->group != f->group) ||
	    (q->group_rows > 1 && !f->rows) || !isfinite(q->global))
		return false;
	return f->scales != QUANT_SCALES_FLOAT || dtype_is_float(q->scale_dtype);
}

struct quant_sizes quant_sizes(const struct quant *q, uint32_t rows, uint32_t cols)
{
	const struct quant_form *f = &quant_forms[q->format];
	struct quant_sizes s = { .row_bytes = ceil_div64(cols, f->block) * f->block_bytes };

	if (!grouped_well(q, f))
		return (struct quant_sizes){ 0 };
	s.row_bytes = ceil_div64(s.row_bytes, f->row_align) * f->row_align;
	s.data = s.row_bytes * rows;
	if (f->scales == QUANT_SCALES_INSIDE)
		return s;
	s.row_scales = ceil_div64(cols, q->group);
	s.scale = s.row_scales * ceil_div64(rows, q->group_rows) * scale_bytes(q);
	s.bias = f->bias ? s.scale : 0;
	return s;
}

int quant_check(const struct quant *q, uint32_t rows, uint32_t cols, const struct quant_sizes *have,
		struct err *err)
{
	struct quant_sizes want;

	if (q->format <= QUANT_NONE || q->format >= QUANT_FORMATS || !rows || !cols ||
	    cols > INT32_MAX)
		return err_set(err, -EINVAL, "a matrix of %" PRIu32 " x %" PRIu32 " has no quantised form %d",
			       rows, cols, (int)q->format);
	if (!grouped_well(q, &quant_forms[q->format]))
		return err_set(err, -EINVAL, "%s has no groups of %" PRIu32 " x %" PRIu32 " with scales of %s",
			       quant_forms[q->format].name, q->group_rows, q->group, dtype_name(q->scale_dtype));
	want = quant_sizes(q, rows, cols);
	if (have->data == want.data && have->scale == want.scale && have->bias == want.bias)
		return 0;
	return err_set(err, -EINVAL, "%s [%" PRIu32 ", %" PRIu32 "] takes %" PRIu64 " bytes, %" PRIu64 " of scales "
		       "and %" PRIu64 " of biases; these are %" PRIu64 ", %" PRIu64 " and %" PRIu64,
		       quant_forms[q->format].name, rows, cols, want.data, want.scale, want.bias, have->data,
		       have->scale, have->bias);
}
