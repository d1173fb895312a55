/*
 * What the CPUs can do at most: multiply-adds in registers and bytes read from memory.
 * Owns nothing; its threads live as long as one measurement.
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined __x86_64__
#include <immintrin.h>
#endif

#include "runner/bench/bench_private.h"

static double clock_seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct moment moment_now(void)
{
	return (struct moment){ clock_seconds(CLOCK_MONOTONIC), clock_seconds(CLOCK_PROCESS_CPUTIME_ID) };
}

struct moment moment_minus(struct moment end, struct moment start)
{
	return (struct moment){ end.wall - start.wall, end.cpu - start.cpu };
}

int bench_threads(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof cpus, &cpus) < 0)
		return 1;
	return CPU_COUNT(&cpus);
}

/* ---- threads ---- */

struct member {
	bench_work f;
	void *context;
	int number, n;
	pthread_t thread;
};

static void *member_main(void *context)
{
	struct member *m = context;

	m->f(m->context, m->number, m->n);
	return NULL;
}

bool bench_parallel(bench_work f, void *context)
{
	const int n = bench_threads();
	struct member *members = calloc((size_t)n, sizeof *members);
	int i, made;

	if (!members)
		return false;
	for (made = 1; made < n; made++) {
		members[made] = (struct member){ .f = f, .context = context, .number = made, .n = n };
		if (pthread_create(&members[made].thread, NULL, member_main, &members[made]) != 0)
			break;
	}
	f(context, 0, n);
	for (i = 1; i < made; i++)
		pthread_join(members[i].thread, NULL);
	free(members);
	return made == n;
}

/* ---- multiply-adds ---- */

enum { CHAINS = 12 };                           /* enough to cover latency, few enough for registers */

/* One loop for every width: chains of x = x * a + b that stay finite. Returns flops. */
#define FMA_LOOP(vector, lanes, fma, set)						\
	vector x[CHAINS], a = set(0.999999f), b = set(1e-6f);				\
											\
	for (int i = 0; i < CHAINS; i++)						\
		x[i] = set((float)i);							\
	for (long n = 0; n < rounds; n++)						\
		_Pragma("GCC unroll 12")						\
		for (int i = 0; i < CHAINS; i++)					\
			x[i] = fma(x[i], a, b);						\
	memcpy(sink, x, sizeof x[0]);							\
	for (int i = 1; i < CHAINS; i++)						\
		sink[0] += ((const float *)&x[i])[0];					\
	return 2.0 * lanes * CHAINS * (double)rounds

typedef double (*fma_loop)(long rounds, float sink[16]);

#if defined __x86_64__
__attribute__((target("avx512f"))) static double fma_512(long rounds, float sink[16])
{
	FMA_LOOP(__m512, 16, _mm512_fmadd_ps, _mm512_set1_ps);
}

__attribute__((target("avx2,fma"))) static double fma_256(long rounds, float sink[16])
{
	FMA_LOOP(__m256, 8, _mm256_fmadd_ps, _mm256_set1_ps);
}
#endif

/* Four lanes in whatever the compiler makes of them. */
typedef float plain4 __attribute__((vector_size(16)));

static plain4 plain_set(float v)
{
	return (plain4){ v, v, v, v };
}

static plain4 plain_fma(plain4 x, plain4 a, plain4 b)
{
	return x * a + b;
}

static double fma_plain(long rounds, float sink[16])
{
	FMA_LOOP(plain4, 4, plain_fma, plain_set);
}

static fma_loop widest_fma(void)
{
#if defined __x86_64__
	if (__builtin_cpu_supports("avx512f"))
		return fma_512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return fma_256;
#endif
	return fma_plain;
}

struct fma_task {
	fma_loop loop;
	long rounds;
	double flops;                           /* of one thread, written by the first */
};

static void fma_work(void *context, int thread, int n_threads)
{
	struct fma_task *t = context;
	float sink[16];
	double flops = t->loop(t->rounds, sink);
	/* What nobody looks at need not be computed. */
	volatile float kept = sink[0];

	(void)kept;
	(void)n_threads;
	if (thread == 0)
		t->flops = flops;
}

bool limit_fma(bool tiny, double *ret_flops)
{
	struct fma_task t = { .loop = widest_fma(), .rounds = tiny ? 1000 : 4000000 };
	bool done = bench_parallel(fma_work, &t);

	*ret_flops = t.flops * bench_threads();
	return done;
}

/* ---- memory ---- */

typedef uint64_t line __attribute__((vector_size(64)));

struct read_task {
	const line *lines;
	size_t n;
};

static void read_work(void *context, int thread, int n_threads)
{
	const struct read_task *t = context;
	const size_t from = t->n * (size_t)thread / (size_t)n_threads;
	const size_t to = t->n * ((size_t)thread + 1) / (size_t)n_threads;
	line sum[4] = { { 0 } };
	volatile uint64_t kept;

	for (size_t i = from; i + 4 <= to; i += 4)
		for (size_t j = 0; j < 4; j++)
			sum[j] ^= t->lines[i + j];
	sum[0] ^= sum[1] ^ sum[2] ^ sum[3];
	kept = sum[0][0] ^ sum[0][7];
	(void)kept;
}

bool limit_read(const void *data, size_t bytes)
{
	return bench_parallel(read_work, &(struct read_task){ data, bytes / sizeof(line) });
}
