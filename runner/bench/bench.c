/*
 * easel-runner --bench: arguments, and the rounds that everything is measured in by turns.
 * Owns the devices of the variants, the numbers that ops are fed with and the report.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "common/settings.h"
#include "runner/bench/bench.h"
#include "runner/bench/bench_private.h"

#define VARIABLE "EASEL_KERNELS"
#define READ_BYTES ((size_t)256 << 20)          /* far more than any cache holds */
#define READ_BYTES_TINY ((size_t)1 << 20)
enum { DEFAULT_ROUNDS = 5 };

static const char help[] =
	"Usage: easel-runner --bench [FILTER] [OPTIONS]\n"
	"\n"
	"Times every op whose name contains FILTER (for example \"linear 288\"), at the shapes\n"
	"of the models, and the limits of the machine in between.\n"
	"\n"
	"  --json            print JSON\n"
	"  --rounds N        measure everything N times, by turns (5)\n"
	"  --kernels A,B     once with each of these values of EASEL_KERNELS; \"default\" is none\n"
	"  --openblas FILE   compare with this library's cblas_sgemm too\n"
	"  --tiny            toy shapes, to see that it runs\n"
	"  --model NAME      time the stages of a model of the store instead\n"
	"  --size WxH, --steps N, --prompt TEXT   of its picture\n";

struct bench {
	struct bench_options o;
	struct report *report;
	struct variant variants[BENCH_MAX_VARIANTS];
	struct sgemm *sgemm;
	struct pool pool;
	struct op_case *cases;
	size_t n_cases;
	float *product;                         /* where sgemm writes */
	size_t product_elements;
};

/* ---- arguments ---- */

static int parse_number(const char *text, unsigned least, unsigned most, const char *option,
			unsigned *ret, struct err *err)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || value < least || value > most)
		return err_set(err, -EINVAL, "%s must be a number from %u to %u, not \"%s\"", option,
			       least, most, text);
	*ret = (unsigned)value;
	return 0;
}

static int parse_size(const char *text, struct bench_options *o, struct err *err)
{
	char rest;

	if (sscanf(text, "%4ux%4u%c", &o->width, &o->height, &rest) != 2 || !o->width || !o->height)
		return err_set(err, -EINVAL, "--size must look like 256x256, not \"%s\"", text);
	return 0;
}

/* Cuts the list where it lies. */
static int parse_variants(char *list, struct bench_options *o, struct err *err)
{
	char *rest;

	o->n_variants = 0;
	for (char *name = strtok_r(list, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
		if (o->n_variants == BENCH_MAX_VARIANTS)
			return err_set(err, -EINVAL, "--kernels takes at most %d names",
				       BENCH_MAX_VARIANTS);
		o->variants[o->n_variants++] = name;
	}
	return o->n_variants ? 0 : err_set(err, -EINVAL, "--kernels needs a name");
}

static const struct option long_options[] = {
	{ "json", no_argument, NULL, 'j' }, { "rounds", required_argument, NULL, 'r' },
	{ "kernels", required_argument, NULL, 'k' }, { "openblas", required_argument, NULL, 'o' },
	{ "tiny", no_argument, NULL, 't' }, { "model", required_argument, NULL, 'm' },
	{ "size", required_argument, NULL, 's' }, { "steps", required_argument, NULL, 'n' },
	{ "prompt", required_argument, NULL, 'p' }, { "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int parse_option(int c, struct bench_options *o, struct err *err)
{
	switch (c) {
	case 'j': o->json = true; return 0;
	case 't': o->tiny = true; return 0;
	case 'o': o->openblas = optarg; return 0;
	case 'm': o->model = optarg; return 0;
	case 'p': o->prompt = optarg; return 0;
	case 's': return parse_size(optarg, o, err);
	case 'k': return parse_variants(optarg, o, err);
	case 'r': return parse_number(optarg, 1, BENCH_MAX_ROUNDS, "--rounds", &o->rounds, err);
	case 'n': return parse_number(optarg, 1, LIMIT_STEPS, "--steps", &o->steps, err);
	case 'h': o->help = true; return 0;
	default: return err_set(err, -EINVAL, "unknown or incomplete argument");
	}
}

static int parse(int argc, char **argv, struct bench_options *o, struct err *err)
{
	const char *given = getenv(VARIABLE);
	int c, r = 0;

	*o = (struct bench_options){
		.rounds = DEFAULT_ROUNDS, .prompt = "a white cat", .n_variants = 1,
		.variants = { given && *given ? given : "default" },
	};
	opterr = 0;
	optind = 1;
	while (r == 0 && (c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		r = parse_option(c, o, err);
	if (r == 0 && optind < argc)
		o->filter = argv[optind++];
	if (r == 0 && optind < argc)
		r = err_set(err, -EINVAL, "one filter at most, not also \"%s\"", argv[optind]);
	return r;
}

/* ---- what ops are fed with ---- */

static const enum dtype pool_dtypes[BENCH_DTYPES] = { DTYPE_F32, DTYPE_F16, DTYPE_BF16 };

/*
 * Numbers from half to one with either sign, the same ones in every run: none is denormal
 * or zero, and float16 holds them all.
 */
static void fill_pool(struct pool *p)
{
	uint16_t *half = p->typed[1], *brain = p->typed[2];
	uint32_t state = 1;

	for (size_t i = 0; i < p->elements; i++) {
		state = state * 1664525u + 1013904223u;
		half[i] = (uint16_t)(0x3800u | (state >> 16 & 0x83FFu));
		p->f32[i] = f16_to_f32(half[i]);
		brain[i] = f32_to_bf16(p->f32[i]);
	}
}

static size_t pool_bytes(const struct pool *p, int column)
{
	/* Whole pages: importing host memory wants them. */
	return (p->elements * dtype_size(pool_dtypes[column]) + 4095) & ~(size_t)4095;
}

static void need_product(struct bench *b, const int mnk[OP_DIMS])
{
	const size_t n = (size_t)mnk[OP_M] * (size_t)mnk[OP_N];
	const size_t x = (size_t)mnk[OP_M] * (size_t)mnk[OP_K], w = (size_t)mnk[OP_N] * (size_t)mnk[OP_K];

	if (n > b->product_elements)
		b->product_elements = n;
	if (x > b->pool.elements)
		b->pool.elements = x;
	if (w > b->pool.elements)
		b->pool.elements = w;
}

/* The product that ops without one of their own are held against. */
static void common_product(const struct bench *b, int mnk[OP_DIMS])
{
	mnk[OP_M] = b->o.tiny ? 8 : 288;
	mnk[OP_N] = mnk[OP_K] = b->o.tiny ? 64 : 3840;
}

static size_t read_bytes(const struct bench *b)
{
	return b->o.tiny ? READ_BYTES_TINY : READ_BYTES;
}

static int make_pool(struct bench *b, struct err *err)
{
	int mnk[OP_DIMS];

	b->pool.elements = read_bytes(b) / sizeof(float);
	common_product(b, mnk);
	need_product(b, mnk);
	for (size_t i = 0; i < b->n_cases; i++) {
		const size_t elements = op_case_elements(&b->cases[i]);

		if (op_case_sgemm(&b->cases[i], mnk))
			need_product(b, mnk);
		if (elements > b->pool.elements)
			b->pool.elements = elements;
	}
	b->product = calloc(b->product_elements, sizeof *b->product);
	if (!b->product)
		return err_set(err, -ENOMEM, "out of memory");
	for (int i = 0; i < BENCH_DTYPES; i++) {
		b->pool.typed[i] = aligned_alloc(4096, pool_bytes(&b->pool, i));
		if (!b->pool.typed[i])
			return err_set(err, -ENOMEM, "out of memory");
	}
	b->pool.f32 = b->pool.typed[0];
	fill_pool(&b->pool);
	return 0;
}

static void free_pool(struct bench *b)
{
	free(b->product);
	for (int i = 0; i < BENCH_DTYPES; i++)
		free(b->pool.typed[i]);
}

/* ---- variants ---- */

void variant_select(const struct variant *v)
{
	if (strcmp(v->name, "default") == 0)
		unsetenv(VARIABLE);
	else
		setenv(VARIABLE, v->name, 1);
}

static int place_pool(struct variant *v, const struct pool *p, struct err *err)
{
	int r = 0;

	for (int i = 0; i < BENCH_DTYPES && r == 0; i++) {
		const size_t bytes = pool_bytes(p, i);

		r = vk_buffer_import(v->vk, p->typed[i], bytes, &v->pool[i], err);
		if (r != -ENOTSUP)
			continue;
		r = vk_buffer_create(v->vk, VK_DEVICE, bytes, &v->pool[i], err);
		if (r == 0)
			r = vk_upload(v->vk, v->pool[i], 0, p->typed[i], bytes, err);
	}
	return r < 0 ? r : vk_upload_finish(v->vk, err);
}

static int open_variants(struct bench *b, struct err *err)
{
	char *device = settings_get("DEVICE");
	int r = 0;

	for (unsigned i = 0; i < b->o.n_variants && r == 0; i++) {
		struct variant *v = &b->variants[i];

		v->name = b->o.variants[i];
		variant_select(v);
		r = vk_open(device, &v->vk, err);
		if (r == 0)
			r = kernels_open(v->vk, getenv(VARIABLE), &v->kernels, err);
		if (r == 0 && !b->o.model)
			r = place_pool(v, &b->pool, err);
	}
	free(device);
	return r;
}

static void close_variants(struct bench *b)
{
	for (unsigned i = 0; i < b->o.n_variants; i++) {
		struct variant *v = &b->variants[i];

		if (!v->vk)
			continue;
		arena_finish(v->vk, &v->arena);
		kernels_close(&v->kernels);
		for (int k = 0; k < BENCH_DTYPES; k++)
			vk_buffer_destroy(v->vk, &v->pool[k]);
		vk_close(&v->vk);
	}
}

/* ---- rounds ---- */

static struct row *need_row(struct bench *b, const char *group, const char *name, const char *variant,
			    struct err *err)
{
	struct row *row = report_row(b->report, group, name, variant);

	if (!row)
		err_set(err, -ENOMEM, "too many rows");
	return row;
}

static int run_limits(struct bench *b, struct err *err)
{
	struct row *fma = need_row(b, "limit", "multiply-add", "", err);
	struct row *read = need_row(b, "limit", "memory read", "", err);
	struct moment start;

	if (!fma || !read)
		return err->code;
	read->bytes = (double)read_bytes(b);
	start = moment_now();
	if (!limit_fma(b->o.tiny, &fma->flops))
		return err_set(err, -EAGAIN, "cannot start threads");
	row_add(fma, moment_minus(moment_now(), start));
	start = moment_now();
	if (!limit_read(b->pool.f32, read_bytes(b)))
		return err_set(err, -EAGAIN, "cannot start threads");
	row_add(read, moment_minus(moment_now(), start));
	return 0;
}

/* Once a round; *ret the row of the first library, NULL when there is none. */
static int run_sgemm(struct bench *b, unsigned round, const int mnk[OP_DIMS], const struct row **ret,
		     struct err *err)
{
	const struct sgemm_library *library;

	*ret = NULL;
	for (size_t i = 0; (library = sgemm_library(b->sgemm, i)); i++) {
		char name[64];
		struct row *row;
		struct moment start;

		snprintf(name, sizeof name, "sgemm %dx%dx%d", mnk[OP_M], mnk[OP_N], mnk[OP_K]);
		row = need_row(b, "limit", name, library->name, err);
		if (!row)
			return err->code;
		row->flops = 2.0 * mnk[OP_M] * mnk[OP_N] * mnk[OP_K];
		if (i == 0)
			*ret = row;
		if (row->n > round)
			continue;
		start = moment_now();
		if (library->run(b->sgemm, mnk[OP_M], mnk[OP_N], mnk[OP_K], b->pool.f32, b->pool.f32,
				 b->product) < 0)
			return err_set(err, -EIO, "%s failed", name);
		row_add(row, moment_minus(moment_now(), start));
	}
	return 0;
}

static int run_case(struct bench *b, unsigned round, const struct op_case *c, struct err *err)
{
	const struct row *yardstick = report_row(b->report, "limit", "memory read", "");
	char name[64];
	int mnk[OP_DIMS], r = 0;

	op_case_name(c, name, sizeof name);
	if (op_case_flops(c) > 0) {
		if (!op_case_sgemm(c, mnk))
			common_product(b, mnk);
		r = run_sgemm(b, round, mnk, &yardstick, err);
	}
	for (unsigned i = 0; i < b->o.n_variants && r == 0; i++) {
		struct row *row = need_row(b, "op", name, b->o.variants[i], err);
		struct moment spent;

		if (!row)
			return err->code;
		row->flops = op_case_flops(c);
		row->bytes = op_case_bytes(c);
		row->yardstick = yardstick;
		r = op_case_run(c, &b->variants[i], &b->pool, &spent, err);
		if (r == 0)
			row_add(row, spent);
	}
	return r;
}

/* Kernels are compiled when they first run, libraries' too: that is not what is measured. */
static int warm_up(struct bench *b, struct err *err)
{
	int r = run_limits(b, err);

	for (size_t i = 0; i < b->n_cases && r == 0; i++)
		r = run_case(b, 0, &b->cases[i], err);
	report_forget(b->report);
	return r;
}

static int bench_ops(struct bench *b, struct err *err)
{
	int r = warm_up(b, err);

	for (unsigned round = 0; round < b->o.rounds && r == 0; round++) {
		r = run_limits(b, err);
		for (size_t i = 0; i < b->n_cases && r == 0; i++)
			r = run_case(b, round, &b->cases[i], err);
	}
	return r;
}

static int bench_stages(struct bench *b, struct err *err)
{
	int r = 0;

	for (unsigned round = 0; round < b->o.rounds && r == 0; round++)
		for (unsigned i = 0; i < b->o.n_variants && r == 0; i++)
			r = stages_run(&b->o, &b->variants[i], b->report, err);
	return r;
}

static int bench_run(struct bench *b, struct err *err)
{
	int r = 0;

	b->report = report_create();
	if (!b->report)
		return err_set(err, -ENOMEM, "out of memory");
	if (!b->o.model) {
		r = ops_select(&b->o, &b->cases, &b->n_cases, err);
		if (r == 0)
			r = sgemm_open(b->o.openblas, &b->sgemm, err);
		if (r == 0)
			r = make_pool(b, err);
	}
	if (r == 0)
		r = open_variants(b, err);
	if (r == 0)
		r = b->o.model ? bench_stages(b, err) : bench_ops(b, err);
	return r < 0 ? r : report_print(b->report, vk_info(b->variants[0].vk), &b->o, err);
}

int bench_main(int argc, char **argv)
{
	struct bench b = { 0 };
	struct err err = { 0 };
	int r = parse(argc, argv, &b.o, &err);

	if (r < 0) {
		fprintf(stderr, "easel-runner: %s\n\n%s", err.text, help);
		return 2;
	}
	if (b.o.help)
		return fputs(help, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	r = bench_run(&b, &err);
	close_variants(&b);
	free_pool(&b);
	sgemm_close(b.sgemm);
	free(b.cases);
	report_free(b.report);
	if (r < 0)
		fprintf(stderr, "easel-runner: %s\n", err.text);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
