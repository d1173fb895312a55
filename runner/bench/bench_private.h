#ifndef EASEL_RUNNER_BENCH_BENCH_PRIVATE_H
#define EASEL_RUNNER_BENCH_BENCH_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "runner/graph/graph.h"
#include "runner/vk/vk.h"

enum { BENCH_MAX_ROUNDS = 100, BENCH_MAX_VARIANTS = 8, BENCH_DTYPES = 3 };

struct bench_options {
	const char *filter;                     /* part of an op's name; NULL: all */
	bool json, tiny, help;
	unsigned rounds;
	const char *variants[BENCH_MAX_VARIANTS];       /* of EASEL_KERNELS; "" is none */
	unsigned n_variants;
	const char *openblas;                   /* a library to compare with, or NULL */
	const char *model;                      /* measure its stages, not the ops */
	const char *prompt;
	uint32_t width, height, steps;          /* 0: the model's own */
};

/* ---- results ---- */

/* Seconds of a clock that only goes forward, and of computing by all threads of this process. */
struct moment {
	double wall, cpu;
};
struct moment moment_now(void);
struct moment moment_minus(struct moment end, struct moment start);

/* One thing that is timed: a limit of the machine, an op or a stage, in one variant. */
struct row {
	const char *group;                      /* "limit", "op", "stage" */
	char name[64], variant[64];
	double flops, bytes;                    /* of one run; 0: does not count */
	const struct row *yardstick;            /* what its rate is told in parts of, or NULL */
	double seconds[BENCH_MAX_ROUNDS], cpu[BENCH_MAX_ROUNDS];
	unsigned n;                             /* rounds seen */
};
struct report;                                  /* rows in the order they were made */

struct report *report_create(void);             /* NULL without memory */
void report_free(struct report *r);
/* The row of that name and variant, made when missing; NULL without memory. Stays where it is. */
struct row *report_row(struct report *r, const char *group, const char *name, const char *variant);
void report_forget(struct report *r);            /* all that was seen; the rows stay */
void row_add(struct row *r, struct moment spent);
/* Prints a table or JSON; an error of the output is told. */
int report_print(const struct report *r, const struct vk_device_info *device,
		 const struct bench_options *o, struct err *err);

int bench_threads(void);                        /* CPUs this process may use */

/* ---- the machine's limits ---- */

/* Runs f on every CPU at once, each with its number; false without threads. */
typedef void (*bench_work)(void *context, int thread, int n_threads);
bool bench_parallel(bench_work f, void *context);

/* Multiply-adds in registers on all CPUs; *ret_flops is what was counted. */
bool limit_fma(bool tiny, double *ret_flops);
/* One pass of reading bytes (a multiple of 64) by all CPUs. */
bool limit_read(const void *data, size_t bytes);

/* Matrix products of libraries, y [m, n] = x [m, k] * w [n, k]^T in float32. */
struct sgemm;
struct sgemm_library {
	const char *name;                       /* "onednn", "openblas" */
	int (*run)(const struct sgemm *s, int m, int n, int k, const float *x, const float *w,
		   float *y);                   /* 0, or not */
};
/* Those that are there: the one easel links, then the one at path (NULL: none). */
int sgemm_open(const char *openblas, struct sgemm **ret, struct err *err);
void sgemm_close(struct sgemm *s);
const struct sgemm_library *sgemm_library(const struct sgemm *s, size_t i);     /* NULL at the end */

/* ---- ops ---- */

enum { OP_M, OP_N, OP_K, OP_DIMS };

struct op_case {
	const struct op_kind *kind;
	uint32_t dim[OP_DIMS];
	enum dtype dtype;                       /* of the weights; NONE: has none */
};

/* What ops are measured with: numbers on the host and, per variant, on its device. */
struct pool {
	float *f32;                             /* [elements], page-aligned */
	void *typed[BENCH_DTYPES];              /* the same numbers as F32, F16, BF16 */
	size_t elements;
};
/* One setting of EASEL_KERNELS with a device opened under it. */
struct variant {
	const char *name;
	struct vk *vk;
	struct kernels kernels;
	struct arena arena;
	struct vk_buffer *pool[BENCH_DTYPES];
};
void variant_select(const struct variant *v);   /* puts its name into the environment */

/* Cases the filter lets through; *ret is the caller's. */
int ops_select(const struct bench_options *o, struct op_case **ret, size_t *ret_n, struct err *err);
void op_case_name(const struct op_case *c, char *ret, size_t size);
/* The product that does the same work, with at most 4096 rows; false where none does. */
bool op_case_sgemm(const struct op_case *c, int ret_mnk[OP_DIMS]);
double op_case_flops(const struct op_case *c);
double op_case_bytes(const struct op_case *c);
size_t op_case_elements(const struct op_case *c);       /* of the largest operand */
/* Builds, runs, drops; *ret is what the run alone took. */
int op_case_run(const struct op_case *c, struct variant *v, const struct pool *pool, struct moment *ret,
		struct err *err);

/* ---- stages of a model ---- */

/* One round: opens the model, draws one picture, closes it; a row per stage. */
int stages_run(const struct bench_options *o, const struct variant *v, struct report *r,
	       struct err *err);

#endif
