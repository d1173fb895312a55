#ifndef EASEL_TESTS_OPS_HARNESS_H
#define EASEL_TESTS_OPS_HARNESS_H

#include <stddef.h>
#include <stdint.h>

#include "runner/ops/op.h"

/*
 * An op against loops in double precision. A bench makes operands of random numbers,
 * runs one graph and compares. The workspace is filled with NaN before every run, so
 * that what is read from paddings and what is left unwritten shows, and behind what the
 * graph planned it must stay so.
 */
struct bench;

struct bench *bench_open(void);                 /* ends with 77 and a reason without a device */
const struct kernel_set_row *bench_kernels(const struct bench *b);
int bench_close(struct bench *b);               /* exit status: 1 if anything differed or the layer spoke */
struct graph *bench_begin(struct bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Host values that a graph's operand holds; freed by bench_end(). */
struct operand {
	T tensor;
	struct weight weight;
	float *v;                               /* dense */
};
/* The tensor goes through a copy in the workspace, so that its padding is NaN there. */
struct operand bench_tensor(struct bench *b, uint32_t rows, uint32_t cols, float scale);
/* Random numbers rounded to dtype, data at offset bytes inside its buffer. */
struct operand bench_weight(struct bench *b, enum dtype dtype, uint64_t offset, unsigned rank, const uint32_t *dim);

/*
 * A matrix of random codes in a quantised form, every array at offset bytes inside a buffer of
 * its own; v is what quant_decode() makes of it.
 */
struct operand bench_quantised(struct bench *b, const struct quant *form, uint64_t offset, uint32_t rows,
			       uint32_t cols);

/* The next bench_end() also wants this many nodes, after joining; those of operands and of the end count. */
void bench_expect_nodes(struct bench *b, size_t n);

/*
 * Builds, runs, compares: root mean square of the difference <= bound times that of ref, or
 * the kernel set's own where that is wider. Frees all.
 */
void bench_end(struct bench *b, T y, const double *ref, double bound);

/* Another value for element i of a tensor. */
void bench_set(struct bench *b, const struct operand *o, size_t i, float value);

/* As bench_end(), for a y that must be NaN everywhere. */
void bench_end_nan(struct bench *b, T y);

/* The graph must not build, for a reason that says text. */
void bench_end_error(struct bench *b, const char *text);

double *bench_doubles(struct bench *b, size_t n);       /* zeroed, freed by bench_end() */

/* All three dtypes, at addresses that bring every form of access. */
struct weight_form {
	enum dtype dtype;
	uint64_t offset;
};
extern const struct weight_form weight_forms[];
extern const size_t n_weight_forms;

#define BOUND_F32 2e-6

#endif
