/*
 * Matrix products of libraries, to hold easel's against: oneDNN's, which easel
 * links, and OpenBLAS's from a file named by the user. Owns the opened library.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <dnnl.h>

#include "runner/bench/bench_private.h"
#include "runner/host/cores.h"
#include "runner/host/library_threads.h"

/* CBLAS's own numbers for its enums. */
enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 };

typedef void (*cblas_sgemm_fn)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
			       const float *a, int lda, const float *b, int ldb, float beta, float *c,
			       int ldc);

struct sgemm {
	void *openblas;                         /* dlopen's handle */
	cblas_sgemm_fn cblas_sgemm;
	struct sgemm_library libraries[3];
	size_t n;
};

static int run_onednn(const struct sgemm *s, int m, int n, int k, const float *x, const float *w, float *y)
{
	(void)s;
	/* Host kernels leave the library one thread each. */
	omp_set_num_threads((int)host_cores());
	return dnnl_sgemm('N', 'T', m, n, k, 1, x, k, w, k, 0, y, n) == dnnl_success ? 0 : -EIO;
}

static int run_openblas(const struct sgemm *s, int m, int n, int k, const float *x, const float *w, float *y)
{
	s->cblas_sgemm(ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE, m, n, k, 1, x, k, w, k, 0, y, n);
	return 0;
}

/* Old releases take CPUs newer than themselves for very old ones, unless told. */
static void name_core(void)
{
	const char *core = NULL;

#if defined __x86_64__
	if (__builtin_cpu_supports("avx512f"))
		core = "SKYLAKEX";
	else if (__builtin_cpu_supports("avx2"))
		core = "HASWELL";
#endif
	if (core)
		setenv("OPENBLAS_CORETYPE", core, 0);
}

static int open_openblas(struct sgemm *s, const char *path, struct err *err)
{
	void *symbol;

	name_core();
	s->openblas = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!s->openblas)
		return err_set(err, -ENOENT, "cannot load %s", dlerror());
	symbol = dlsym(s->openblas, "cblas_sgemm");
	if (!symbol)
		return err_set(err, -EINVAL, "%s has no cblas_sgemm; give the path of OpenBLAS", path);
	/* ISO C has no cast from object to function pointers. */
	memcpy(&s->cblas_sgemm, &symbol, sizeof symbol);
	s->libraries[s->n++] = (struct sgemm_library){ "openblas", run_openblas };
	return 0;
}

int sgemm_open(const char *openblas, struct sgemm **ret, struct err *err)
{
	struct sgemm *s = calloc(1, sizeof *s);
	int r = 0;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	s->libraries[s->n++] = (struct sgemm_library){ "onednn", run_onednn };
	if (openblas)
		r = open_openblas(s, openblas, err);
	if (r < 0)
		sgemm_close(s);
	else
		*ret = s;
	return r;
}

void sgemm_close(struct sgemm *s)
{
	/* The library stays loaded: its threads may not survive their code. */
	free(s);
}

const struct sgemm_library *sgemm_library(const struct sgemm *s, size_t i)
{
	return i < s->n ? &s->libraries[i] : NULL;
}
