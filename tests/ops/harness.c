/*
 * Runs one graph per case and compares with double precision. Owns the device, the
 * workspace and the operands of the case at hand.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner/ops/self_check.h"
#include "runner/wide_vectors.h"
#include "tests/ops/harness.h"
#include "tests/ops/vk/device.h"

enum { MAX_OPERANDS = 16 };
/* More than any case plans, so that what lies behind can be watched. */
#define ARENA_BYTES (24u << 20)

struct bench {
	struct vk *vk;
	struct kernels kernels;
	struct arena arena;
	struct graph *g;
	char name[200];
	uint64_t random;
	struct { T tensor; const float *of; float *half; } inputs[MAX_OPERANDS];
	float *values[MAX_OPERANDS];
	struct vk_buffer *buffers[MAX_OPERANDS];
	double *doubles[MAX_OPERANDS];
	unsigned n_inputs, n_values, n_buffers, n_doubles;
	unsigned cases, failures;
	size_t nodes;                           /* expected; 0: any */
};

const struct weight_form weight_forms[] = {
	{ DTYPE_F32, 0 }, { DTYPE_F32, 24 }, { DTYPE_F32, 4 },
	{ DTYPE_F16, 64 }, { DTYPE_F16, 40 }, { DTYPE_F16, 2 },
	{ DTYPE_BF16, 16 }, { DTYPE_BF16, 8 }, { DTYPE_BF16, 6 },
};
const size_t n_weight_forms = sizeof weight_forms / sizeof weight_forms[0];

static void need(bool cond, const char *what, const struct err *err)
{
	if (cond)
		return;
	fprintf(stderr, "%s: %s\n", what, err ? err->text : "failed");
	exit(1);
}

static void reserve_arena(struct bench *b)
{
	struct graph *g = graph_create(b->vk, b->kernels);
	struct err err = { 0 };
	T x = graph_input(g, 1, ARENA_BYTES / sizeof(float)), y = op_silu(g, x);

	graph_output(g, op_silu(g, y));
	need(graph_build(g, &b->arena, &err) == 0, "workspace", &err);
	graph_destroy(&g);
}

/* Those of EASEL_KERNELS: this program runs once for each set. */
static void open_kernels(struct bench *b)
{
	struct err err = { 0 };
	const int r = kernels_open(b->vk, getenv("EASEL_KERNELS"), &b->kernels, &err);

	if (r == -ENOTSUP) {
		printf("# skipped: %s\n", err.text);
		exit(77);
	}
	need(r == 0, "kernels", &err);
}

struct bench *bench_open(void)
{
	const char *lanes = getenv("TEST_LANES");
	struct bench *b = calloc(1, sizeof *b);
	struct err err = { 0 };

	need(b, "bench", NULL);
	wide_vectors_choose();
	b->vk = device_open();
	if (lanes && (unsigned)atoi(lanes) != vk_limits(b->vk)->subgroup_size) {
		printf("# skipped: the device has %u lanes\n", vk_limits(b->vk)->subgroup_size);
		exit(77);
	}
	open_kernels(b);
	need(kernels_self_check(b->vk, b->kernels, &err) == 0, "self-check", &err);
	b->random = 88172645463325252u;
	reserve_arena(b);
	return b;
}

const struct kernel_set_row *bench_kernels(const struct bench *b)
{
	return &kernel_sets[b->kernels.set];
}

int bench_close(struct bench *b)
{
	int result = b->failures != 0;

	printf("%u cases, %u failed\n", b->cases, b->failures);
	arena_finish(b->vk, &b->arena);
	kernels_close(&b->kernels);
	result = device_close(&b->vk, result);
	free(b);
	return result;
}

struct graph *bench_begin(struct bench *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(b->name, sizeof b->name, format, args);
	va_end(args);
	b->g = graph_create(b->vk, b->kernels);
	need(b->g, b->name, NULL);
	return b->g;
}

/* Roughly normal, xorshift. */
static float random_value(struct bench *b)
{
	float sum = 0;

	for (int i = 0; i < 4; i++) {
		b->random ^= b->random << 13;
		b->random ^= b->random >> 7;
		b->random ^= b->random << 17;
		sum += (float)(b->random >> 40) * 0x1p-24f - 0.5f;
	}
	return 1.7f * sum;
}

static float *random_values(struct bench *b, size_t n, float scale)
{
	float *v = malloc((n ? n : 1) * sizeof *v);

	need(v && b->n_values < MAX_OPERANDS, b->name, NULL);
	for (size_t i = 0; i < n; i++)
		v[i] = scale * random_value(b);
	b->values[b->n_values++] = v;
	return v;
}

struct operand bench_tensor(struct bench *b, uint32_t rows, uint32_t cols, float scale)
{
	struct operand o = { .v = random_values(b, (size_t)rows * cols, scale) };
	T in = graph_input(b->g, rows, cols);

	float *half = random_values(b, (size_t)rows * cols, 0);

	/* Twice an input of half the values: an exact copy inside the workspace. */
	for (size_t i = 0; i < (size_t)rows * cols; i++)
		half[i] = 0.5f * o.v[i];
	o.tensor = op_add(b->g, in, in);
	b->inputs[b->n_inputs].tensor = in;
	b->inputs[b->n_inputs].of = o.v;
	b->inputs[b->n_inputs++].half = half;
	return o;
}

static uint16_t to_f16(float value)
{
	_Float16 half = (_Float16)value;
	uint16_t bits;

	memcpy(&bits, &half, sizeof bits);
	return bits;
}

static void store(enum dtype dtype, float *v, unsigned char *to)
{
	uint16_t bits = dtype == DTYPE_F16 ? to_f16(*v) : f32_to_bf16(*v);

	if (dtype == DTYPE_F32) {
		memcpy(to, v, sizeof *v);
		return;
	}
	memcpy(to, &bits, sizeof bits);
	*v = dtype == DTYPE_F16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

struct operand bench_weight(struct bench *b, enum dtype dtype, uint64_t offset, unsigned rank, const uint32_t *dim)
{
	struct operand o = { .weight = { .offset = offset, .dtype = dtype, .rank = rank } };
	struct err err = { 0 };
	size_t n = 1;

	for (unsigned i = 0; i < rank; i++)
		n *= o.weight.dim[i] = dim[i];
	o.weight.bytes = n * dtype_size(dtype);
	o.v = random_values(b, n, 1);
	need(vk_buffer_create(b->vk, VK_HOST, offset + o.weight.bytes + 80, &o.weight.buffer, &err) == 0, b->name, &err);
	memset(vk_buffer_map(o.weight.buffer), 0xFF, offset + o.weight.bytes + 80);
	for (size_t i = 0; i < n; i++)
		store(dtype, &o.v[i], (unsigned char *)vk_buffer_map(o.weight.buffer) + offset + i * dtype_size(dtype));
	b->buffers[b->n_buffers++] = o.weight.buffer;
	return o;
}

void bench_expect_nodes(struct bench *b, size_t n)
{
	b->nodes = n;
}

static unsigned char random_byte(struct bench *b)
{
	random_value(b);
	return (unsigned char)(b->random >> 32);
}

/* Zeroed; what lies around it in its buffer is not. */
static unsigned char *quant_array(struct bench *b, struct weight_array *a, uint64_t offset, uint64_t bytes)
{
	struct err err = { 0 };
	unsigned char *at;

	need(b->n_buffers < MAX_OPERANDS, b->name, NULL);
	need(vk_buffer_create(b->vk, VK_HOST, offset + bytes + 80, &a->buffer, &err) == 0, b->name, &err);
	b->buffers[b->n_buffers++] = a->buffer;
	a->offset = offset;
	a->bytes = bytes;
	at = vk_buffer_map(a->buffer);
	memset(at, 0xFF, offset + bytes + 80);
	memset(at + offset, 0, bytes);
	return at + offset;
}

/* Codes that are no NaN, and halves of a sensible size where blocks hold them. */
static void random_codes(struct bench *b, const struct quant *q, unsigned char *to, uint64_t bytes)
{
	static const struct { int first, last; } halves[QUANT_FORMATS] = {
		[QUANT_Q8_0] = { 0, 1 }, [QUANT_Q4_0] = { 0, 1 }, [QUANT_Q4_K] = { 0, 3 }, [QUANT_Q5_K] = { 0, 3 },
		[QUANT_Q6_K] = { 208, 209 },
	};
	const struct quant_form *f = &quant_forms[q->format];

	for (uint64_t i = 0; i < bytes; i++) {
		const int at = (int)(i % f->block_bytes);

		to[i] = random_byte(b);
		if (f->scales != QUANT_SCALES_INSIDE)
			to[i] ^= (to[i] & 0x7f) == 0x7f ? 0x40 : 0;
		else if (at >= halves[q->format].first && at <= halves[q->format].last && at % 2)
			to[i] = 0x24 | (to[i] & 0x80);
	}
}

static void random_scales(struct bench *b, const struct quant *q, unsigned char *to, uint64_t bytes)
{
	const size_t size = dtype_size(q->scale_dtype);

	for (uint64_t i = 0; i < bytes; i += quant_forms[q->format].scales == QUANT_SCALES_FLOAT ? size : 1) {
		float value = 0.02f * random_value(b);

		if (quant_forms[q->format].scales == QUANT_SCALES_E8M0)
			to[i] = (unsigned char)(120 + random_byte(b) % 8);
		else if (quant_forms[q->format].scales == QUANT_SCALES_E4M3)
			to[i] = (unsigned char)(random_byte(b) % 0x40);
		else
			store(q->scale_dtype, &value, to + i);
	}
}

struct operand bench_quantised(struct bench *b, const struct quant *form, uint64_t offset, uint32_t rows,
			       uint32_t cols)
{
	const struct quant_sizes s = quant_sizes(form, rows, cols);
	struct operand o = { .v = random_values(b, (size_t)rows * cols, 0) };
	struct weight *w = &o.weight;
	struct weight_array data = { 0 };
	unsigned char *codes = quant_array(b, &data, offset, s.data);
	unsigned char *scale = s.scale ? quant_array(b, &w->scale, offset, s.scale) : NULL;
	unsigned char *bias = s.bias ? quant_array(b, &w->bias, offset, s.bias) : NULL;
	const struct quant_rows r = { .quant = *form, .cols = cols, .data = codes, .scale = scale, .bias = bias };

	w->buffer = data.buffer;
	w->offset = offset;
	w->bytes = s.data;
	w->rank = 2;
	w->dim[0] = rows;
	w->dim[1] = cols;
	w->quant = *form;
	random_codes(b, form, codes, s.data);
	random_scales(b, form, scale, s.scale);
	random_scales(b, form, bias, s.bias);
	for (uint32_t i = 0; i < rows; i++)
		quant_decode(&r, i, 0, cols, o.v + (size_t)i * cols);
	return o;
}

double *bench_doubles(struct bench *b, size_t n)
{
	double *d = calloc(n ? n : 1, sizeof *d);

	need(d && b->n_doubles < MAX_OPERANDS, b->name, NULL);
	b->doubles[b->n_doubles++] = d;
	return d;
}

static void fail(struct bench *b, const char *format, ...)
{
	va_list args;

	printf("%s: ", b->name);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	b->failures++;
}

static void compare(struct bench *b, const float *y, const double *ref, size_t n, double bound)
{
	double difference = 0, size = 0;

	for (size_t i = 0; i < n; i++) {
		if (!isfinite(y[i])) {
			fail(b, "element %zu of %zu is not finite", i, n);
			return;
		}
		difference += (y[i] - ref[i]) * (y[i] - ref[i]);
		size += ref[i] * ref[i];
	}
	if (!(sqrt(difference) <= bound * sqrt(size)))
		fail(b, "relative error %.2e, at most %.0e", sqrt(difference / size), bound);
}

/* Bytes behind the plan must still be what they were filled with. */
static void check_guard(struct bench *b, uint64_t planned)
{
	const unsigned char *p = vk_buffer_map(b->arena.buffer);

	for (uint64_t i = planned; p && i < b->arena.size; i++)
		if (p[i] != 0xFF) {
			fail(b, "wrote %llu bytes behind the workspace", (unsigned long long)(i - planned));
			return;
		}
}

static void run(struct bench *b, T y, float *result)
{
	struct err err = { 0 };
	uint64_t planned = 0;

	need(graph_plan(b->g, &planned, &err) == 0 && graph_build(b->g, &b->arena, &err) == 0, b->name, &err);
	for (unsigned i = 0; i < b->n_inputs; i++)
		graph_write(b->g, b->inputs[i].tensor, b->inputs[i].half);
	if (vk_buffer_map(b->arena.buffer))
		memset(vk_buffer_map(b->arena.buffer), 0xFF, b->arena.size);
	need(graph_run(b->g, NULL, NULL, &err) == 0, b->name, &err);
	check_guard(b, planned);
	graph_read(b->g, y, result);
	if (b->nodes && graph_n_nodes(b->g) != b->nodes)
		fail(b, "%zu nodes, not %zu", graph_n_nodes(b->g), b->nodes);
	b->nodes = 0;
}

static void clear(struct bench *b)
{
	graph_destroy(&b->g);
	for (unsigned i = 0; i < b->n_values; i++)
		free(b->values[i]);
	for (unsigned i = 0; i < b->n_buffers; i++)
		vk_buffer_destroy(b->vk, &b->buffers[i]);
	for (unsigned i = 0; i < b->n_doubles; i++)
		free(b->doubles[i]);
	b->n_inputs = b->n_values = b->n_buffers = b->n_doubles = 0;
}

/* y through one more node, so that the op itself writes into the workspace; the caller frees. */
static float *result_of(struct bench *b, T y)
{
	size_t n = (size_t)y.rows * y.cols;
	float *result = calloc(n ? n : 1, sizeof *result);
	T out = op_add(b->g, y, y);

	need(result, b->name, NULL);
	graph_output(b->g, out);
	run(b, out, result);
	for (size_t i = 0; i < n; i++)
		result[i] *= 0.5f;
	b->cases++;
	return result;
}

void bench_end(struct bench *b, T y, const double *ref, double bound)
{
	float *result = result_of(b, y);
	const double of_set = kernel_sets[b->kernels.set].error;

	compare(b, result, ref, (size_t)y.rows * y.cols, bound > of_set ? bound : of_set);
	free(result);
	clear(b);
}

void bench_set(struct bench *b, const struct operand *o, size_t i, float value)
{
	o->v[i] = value;
	for (unsigned k = 0; k < b->n_inputs; k++)
		if (b->inputs[k].of == o->v)
			b->inputs[k].half[i] = 0.5f * value;
}

void bench_end_nan(struct bench *b, T y)
{
	float *result = result_of(b, y);
	size_t numbers = 0;

	for (size_t i = 0; i < (size_t)y.rows * y.cols; i++)
		numbers += !isnan(result[i]);
	if (numbers)
		fail(b, "%zu elements are numbers", numbers);
	free(result);
	clear(b);
}

void bench_end_error(struct bench *b, const char *text)
{
	struct err err = { 0 };
	const int r = graph_build(b->g, &b->arena, &err);

	if (r != -EINVAL || !strstr(err.text, text))
		fail(b, "'%s' (%d) does not say '%s'", err.text, r, text);
	b->cases++;
	clear(b);
}
