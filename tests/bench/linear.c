/*
 * What linear takes in every stored form, as a part of the library's own sgemm over float32
 * weights with as many threads: taken by turns in one run, medians.
 *
 *	bench_linear [m n k [rounds]]            EASEL_KERNELS as for the runner
 */
#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runner/host/library_threads.h"
#include "runner/host/cores.h"
#include "runner/ops/op.h"

enum { MOST_ROUNDS = 99 };

static const struct row {
	const char *name;
	enum dtype dtype;
	struct quant quant;
} rows[] = {
	{ "F32", DTYPE_F32, { 0 } }, { "BF16", DTYPE_BF16, { 0 } }, { "F16", DTYPE_F16, { 0 } },
	{ "int8 g64", DTYPE_NONE, { QUANT_INT8, 64, 1, DTYPE_BF16, 1 } },
	{ "int8 g32", DTYPE_NONE, { QUANT_INT8, 32, 1, DTYPE_BF16, 1 } },
	{ "int4 g64", DTYPE_NONE, { QUANT_INT4, 64, 1, DTYPE_BF16, 1 } },
	{ "int4 g32", DTYPE_NONE, { QUANT_INT4, 32, 1, DTYPE_BF16, 1 } },
	{ "mxfp8", DTYPE_NONE, { QUANT_MXFP8, 32, 1, DTYPE_NONE, 1 } },
	{ "mxfp4", DTYPE_NONE, { QUANT_MXFP4, 32, 1, DTYPE_NONE, 1 } },
	{ "nvfp4", DTYPE_NONE, { QUANT_NVFP4, 16, 1, DTYPE_NONE, 1 } },
	{ "fp8 tensor", DTYPE_NONE, { QUANT_FP8, 1 << 20, 1 << 20, DTYPE_F32, 1 } },
	{ "fp8 128x128", DTYPE_NONE, { QUANT_FP8, 128, 128, DTYPE_F32, 1 } },
	{ "q8_0", DTYPE_NONE, { QUANT_Q8_0 } }, { "q4_0", DTYPE_NONE, { QUANT_Q4_0 } },
	{ "q4_k", DTYPE_NONE, { QUANT_Q4_K } }, { "q5_k", DTYPE_NONE, { QUANT_Q5_K } },
	{ "q6_k", DTYPE_NONE, { QUANT_Q6_K } },
	{ "int8 rows", DTYPE_NONE, { QUANT_INT8_ROWS, 1 << 20, 1, DTYPE_F32, 1 } },
};
enum { N_ROWS = sizeof rows / sizeof *rows };

struct bench {
	struct vk *vk;
	struct kernels kernels;
	struct arena arena;
	uint32_t m, n, k;
	struct weight weights[N_ROWS];
	struct graph *graphs[N_ROWS];
	float *x, *w, *y;
	double seconds[N_ROWS + 1][MOST_ROUNDS];        /* the last row: sgemm */
};

static void need(int r, const struct err *err)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s\n", err->text);
	exit(1);
}

static void *need_memory(void *p)
{
	if (p)
		return p;
	fprintf(stderr, "out of memory\n");
	exit(1);
}

/* On one core (taskset -c 0) processor time, which neighbours do not disturb. */
static double now(void)
{
	struct timespec t;

	clock_gettime(host_cores() == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Any small numbers do: bytes of 0x20 to 0x3f are such in every form and place. */
static void fill(struct bench *b, struct vk_buffer **buffer, uint64_t bytes)
{
	struct err err;
	unsigned char *p;

	need(vk_buffer_create(b->vk, VK_HOST, bytes, buffer, &err), &err);
	p = vk_buffer_map(*buffer);
	for (uint64_t i = 0; i < bytes; i++)
		p[i] = (unsigned char)(0x20 + (i * 2654435761u >> 20) % 32);
}

static void make_weight(struct bench *b, const struct row *r, struct weight *w)
{
	const struct quant_sizes s = quant_sizes(&r->quant, b->n, b->k);

	*w = (struct weight){ .dtype = r->dtype, .rank = 2, .dim = { b->n, b->k }, .quant = r->quant };
	w->bytes = r->dtype ? (uint64_t)b->n * b->k * dtype_size(r->dtype) : s.data;
	w->scale.bytes = s.scale;
	w->bias.bytes = s.bias;
	fill(b, &w->buffer, w->bytes);
	if (s.scale)
		fill(b, &w->scale.buffer, s.scale);
	if (s.bias)
		fill(b, &w->bias.buffer, s.bias);
}

static void make_graph(struct bench *b, size_t i)
{
	struct err err;
	struct graph *g = b->graphs[i] = need_memory(graph_create(b->vk, b->kernels));
	T x = graph_input(g, b->m, b->k), y = op_linear(g, x, &b->weights[i], NULL);

	graph_output(g, y);
	need(graph_build(g, &b->arena, &err), &err);
	graph_write(g, x, b->x);
}

static void open_bench(struct bench *b)
{
	struct err err;

	need(vk_open(getenv("EASEL_DEVICE"), &b->vk, &err), &err);
	need(kernels_open(b->vk, getenv("EASEL_KERNELS"), &b->kernels, &err), &err);
	b->x = need_memory(calloc((size_t)b->m * b->k, sizeof *b->x));
	b->w = need_memory(calloc((size_t)b->n * b->k, sizeof *b->w));
	b->y = need_memory(calloc((size_t)b->m * b->n, sizeof *b->y));
	for (size_t i = 0; i < (size_t)b->m * b->k; i++)
		b->x[i] = (float)(i % 7) - 3;
	for (size_t i = 0; i < (size_t)b->n * b->k; i++)
		b->w[i] = (float)(i % 5) - 2;
	for (size_t i = 0; i < N_ROWS; i++) {
		make_weight(b, &rows[i], &b->weights[i]);
		make_graph(b, i);
	}
}

static void close_bench(struct bench *b)
{
	for (size_t i = 0; i < N_ROWS; i++) {
		graph_destroy(&b->graphs[i]);
		vk_buffer_destroy(b->vk, &b->weights[i].buffer);
		vk_buffer_destroy(b->vk, &b->weights[i].scale.buffer);
		vk_buffer_destroy(b->vk, &b->weights[i].bias.buffer);
	}
	arena_finish(b->vk, &b->arena);
	kernels_close(&b->kernels);
	vk_close(&b->vk);
	free(b->x);
	free(b->w);
	free(b->y);
}

static void one_round(struct bench *b, unsigned round)
{
	struct err err;

	for (size_t i = 0; i < N_ROWS; i++) {
		const double start = now();

		need(graph_run(b->graphs[i], NULL, NULL, &err), &err);
		b->seconds[i][round] = now() - start;
	}
	omp_set_num_threads((int)host_cores());
	b->seconds[N_ROWS][round] = -now();
	dnnl_sgemm('N', 'T', b->m, b->n, b->k, 1, b->x, b->k, b->w, b->k, 0, b->y, b->n);
	b->seconds[N_ROWS][round] += now();
}

static int by_size(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print(struct bench *b, unsigned rounds)
{
	const double flops = 2.0 * b->m * b->n * b->k;

	for (size_t i = 0; i <= N_ROWS; i++)
		qsort(b->seconds[i], rounds, sizeof b->seconds[i][0], by_size);
	printf("%u x %u x %u on %s, kernels %s, %u rounds\n", b->m, b->n, b->k, vk_info(b->vk)->name,
	       kernel_sets[b->kernels.set].name, rounds);
	printf("%-12s %7.1f GFLOP/s\n", "sgemm", flops / b->seconds[N_ROWS][rounds / 2] / 1e9);
	for (size_t i = 0; i < N_ROWS; i++)
		printf("%-12s %7.1f GFLOP/s %5.2f of sgemm\n", rows[i].name,
		       flops / b->seconds[i][rounds / 2] / 1e9,
		       b->seconds[N_ROWS][rounds / 2] / b->seconds[i][rounds / 2]);
}

static uint32_t argument(int argc, char **argv, int i, uint32_t otherwise)
{
	const long value = argc > i ? strtol(argv[i], NULL, 10) : otherwise;

	return value > 0 && value < 1 << 20 ? (uint32_t)value : otherwise;
}

int main(int argc, char **argv)
{
	static struct bench b;
	unsigned rounds = argument(argc, argv, 4, 7);

	rounds = rounds < MOST_ROUNDS ? rounds : MOST_ROUNDS;
	b.m = argument(argc, argv, 1, 288);
	b.n = argument(argc, argv, 2, 3840);
	b.k = argument(argc, argv, 3, 3840);
	open_bench(&b);
	one_round(&b, 0);                       /* threads, pages, caches */
	for (unsigned i = 0; i < rounds; i++)
		one_round(&b, i);
	print(&b, rounds);
	close_bench(&b);
	return 0;
}
