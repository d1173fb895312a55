/*
 * Which form a blob's tensors are taken to have, by the header alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runner/weights_private.h"

/* A blob of codes and their scales, as E4M3 and F32. */
struct blob_of_fp8 {
	uint64_t rows, cols;
	unsigned scale_rank;
	uint64_t scale[2];
	uint32_t group, group_rows;             /* wanted */
};

static struct st_tensor tensor(const char *name, enum dtype dtype, unsigned rank, const uint64_t *shape)
{
	struct st_tensor t = { .name = (char *)(uintptr_t)name, .dtype = dtype, .rank = rank };
	uint64_t n = 1;

	for (unsigned i = 0; i < rank; i++)
		n *= t.shape[i] = shape[i];
	t.end = n * dtype_size(dtype);
	return t;
}

static void test_groups_of_fp8(void **unused)
{
	static const struct blob_of_fp8 blobs[] = {
		{ 256, 512, 0, { 0 }, 512, 256 },
		{ 256, 512, 1, { 1 }, 512, 256 },
		{ 256, 512, 1, { 256 }, 512, 1 },
		{ 256, 512, 2, { 256, 1 }, 512, 1 },
		{ 256, 512, 2, { 2, 4 }, 128, 128 },
		/* As many squares as rows. */
		{ 4096, 16384, 2, { 32, 128 }, 128, 128 },
		{ 4096, 16384, 2, { 4096, 1 }, 16384, 1 },
		{ 4096, 16384, 1, { 4096 }, 16384, 1 },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof blobs / sizeof *blobs; i++) {
		const struct blob_of_fp8 *b = &blobs[i];
		struct st_tensor tensors[] = {
			tensor("data", DTYPE_F8_E4M3, 2, (const uint64_t[]){ b->rows, b->cols }),
			tensor("data.scale", DTYPE_F32, b->scale_rank, b->scale),
		};
		const struct safetensors st = { .tensors = tensors, .n_tensors = 2 };
		struct weights_source source;
		struct err err;

		assert_int_equal(weights_read_tensor(&st, &tensors[0], 0, &source, &err), 0);
		assert_int_equal(source.quant.format, QUANT_FP8);
		assert_int_equal(source.quant.group, b->group);
		assert_int_equal(source.quant.group_rows, b->group_rows);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_groups_of_fp8) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
