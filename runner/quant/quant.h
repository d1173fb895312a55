#ifndef EASEL_RUNNER_QUANT_QUANT_H
#define EASEL_RUNNER_QUANT_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/dtype.h"
#include "common/err.h"

/*
 * Matrices whose elements are stored in a few bits. Rows are decoded where they are used,
 * never the whole matrix. Two kinds:
 *
 *   grouped  codes of one width in an array of their own, rows padded to whole words;
 *            w = value(code) * scale (* global) (+ bias), with one scale (and bias) for
 *            `group` elements of a row, and of `group_rows` rows, in arrays of their own:
 *            [ceil(rows / group_rows), ceil(cols / group)]
 *   blocks   GGUF's: whole blocks of a row with their scales inside
 */
enum quant_format {
	QUANT_NONE,                             /* plain: F32, F16, BF16 */
	QUANT_INT8, QUANT_INT4,                 /* grouped, affine, codes unsigned */
	QUANT_MXFP8, QUANT_MXFP4, QUANT_NVFP4,  /* grouped, E4M3 or E2M1 codes */
	QUANT_FP8,                              /* grouped, E4M3: a scale a tensor or for 128 x 128 */
	QUANT_INT8_ROWS,                        /* grouped, signed: a scale a row (runner/host/int8.h) */
	QUANT_Q8_0, QUANT_Q4_0, QUANT_Q4_K, QUANT_Q5_K, QUANT_Q6_K,
	QUANT_FORMATS
};

enum quant_scales {
	QUANT_SCALES_INSIDE,                    /* of blocks */
	QUANT_SCALES_FLOAT,                     /* F32, F16 or BF16 */
	QUANT_SCALES_E8M0,                      /* 2^(code - 127) */
	QUANT_SCALES_E4M3,
};

struct quant_form {
	const char *name;                       /* of the metadata's quant_type */
	uint32_t block, block_bytes;            /* elements stored together */
	uint32_t row_align;                     /* bytes that a row is padded to */
	enum quant_scales scales;
	uint32_t group;                         /* the only one there is; 0: any */
	bool bias, rows;                        /* has biases; group_rows may be above 1 */
};
extern const struct quant_form quant_forms[QUANT_FORMATS];

/* How one matrix is stored. Zeroed: plain. */
struct quant {
	enum quant_format format;
	uint32_t group, group_rows;             /* grouped: at least 1 */
	enum dtype scale_dtype;                 /* of QUANT_SCALES_FLOAT, biases too */
	float global;                           /* NVFP4; others 1 */
	uint32_t row0;                          /* of a matrix whose rows these are: where its scales start */
};

enum quant_format quant_parse(const char *name);        /* "int8", "q4_k", ...; QUANT_NONE when unknown */
/* Bytes that each array of a [rows, cols] matrix takes; 0: it has none. All 0 for groups that its form has not. */
struct quant_sizes {
	uint64_t row_bytes, row_scales;         /* of one row: bytes of codes, number of scales */
	uint64_t data, scale, bias;
};
struct quant_sizes quant_sizes(const struct quant *q, uint32_t rows, uint32_t cols);
/* -EINVAL, saying what, unless q describes such a matrix and its arrays have these sizes. */
int quant_check(const struct quant *q, uint32_t rows, uint32_t cols, const struct quant_sizes *have,
		struct err *err);

/* The arrays of a matrix, at any addresses. */
struct quant_rows {
	struct quant quant;
	enum dtype dtype;                       /* of a plain one */
	uint32_t cols;
	const void *data, *scale, *bias;
};
/*
 * Elements [k0, k0 + n) of a row as float32, of a plain matrix too. The codes of grouped forms and of blocks are
 * exact, so is their product with a scale of 16 bits or less; one rounding is left.
 */
void quant_decode(const struct quant_rows *r, uint32_t row, uint32_t k0, uint32_t n, float *dst);

#endif
