/*
 * dtype.c: names and sizes, and every 16-bit float against arithmetic.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/dtype.h"

static void test_names(void **unused)
{
	(void)unused;
	for (enum dtype t = DTYPE_F32; t <= DTYPE_F8_E5M2; t++) {
		assert_int_equal(dtype_parse(dtype_name(t)), t);
		assert_true(dtype_size(t) >= 1 && dtype_size(t) <= 8);
	}
	assert_int_equal(dtype_parse("none"), DTYPE_NONE);
	assert_int_equal(dtype_parse("bf16"), DTYPE_NONE);
	assert_int_equal(dtype_parse(""), DTYPE_NONE);
	assert_int_equal(dtype_size(DTYPE_NONE), 0);
	assert_int_equal(dtype_size((enum dtype)99), 0);
}

static float half(uint16_t bits)
{
	int exponent = bits >> 10 & 31;
	float mantissa = (float)(bits & 1023), sign = bits & 0x8000 ? -1.0f : 1.0f;

	if (exponent == 31)
		return mantissa ? NAN : sign * INFINITY;
	return sign * (exponent ? ldexpf(mantissa + 1024, exponent - 25) : ldexpf(mantissa, -24));
}

static void test_halves(void **unused)
{
	(void)unused;
	for (uint32_t bits = 0; bits < 0x10000; bits++) {
		float got = f16_to_f32((uint16_t)bits), want = half((uint16_t)bits);

		if (isnan(want) ? !isnan(got) : got != want || signbit(got) != signbit(want))
			fail_msg("f16 0x%04x: %g, not %g", bits, (double)got, (double)want);
		if (!isnan(got) && f32_to_f16(got) != bits)
			fail_msg("f16 0x%04x does not come back", bits);
		want = bf16_to_f32((uint16_t)bits);
		if (!isnan(want) && f32_to_bf16(want) != bits)
			fail_msg("bf16 0x%04x does not come back", bits);
	}
}

static void test_rounding(void **unused)
{
	(void)unused;
	assert_int_equal(f32_to_bf16(0x1.01p0f), 0x3F80);       /* tie: to even */
	assert_int_equal(f32_to_bf16(0x1.03p0f), 0x3F82);
	assert_int_equal(f32_to_bf16(0x1.010002p0f), 0x3F81);
	assert_int_equal(f32_to_bf16(0x1.fffffep127f), 0x7F80); /* to infinity */
	assert_true(isnan(bf16_to_f32(f32_to_bf16(NAN))));
	assert_int_equal(f32_to_f16(0x1.002p0f), 0x3C00);
	assert_int_equal(f32_to_f16(0x1.006p0f), 0x3C02);
	assert_int_equal(f32_to_f16(0x1.002002p0f), 0x3C01);
	assert_int_equal(f32_to_f16(-0x1p-25f), 0x8000);
	assert_int_equal(f32_to_f16(0x1.8p-24f), 2);
	assert_int_equal(f32_to_f16(65520), 0x7C00);
	assert_int_equal(f32_to_f16(65519), 0x7BFF);
	assert_true(isnan(f16_to_f32(f32_to_f16(NAN))));
}

static void test_unaligned(void **unused)
{
	unsigned char bytes[1 + 3 * 4];
	const float source[3] = { 1.5f, -2, 0x1p-130f };
	float out[3];

	(void)unused;
	memcpy(bytes + 1, source, sizeof source);
	dtype_to_f32(DTYPE_F32, bytes + 1, out, 3);
	assert_memory_equal(out, source, sizeof out);
	memcpy(bytes + 1, (const uint16_t[]){ 0x3FC0, 0xC000, 0x0001 }, 6);
	dtype_to_f32(DTYPE_BF16, bytes + 1, out, 3);
	assert_true(out[0] == 1.5f && out[1] == -2 && out[2] == 0x1p-133f);
	memcpy(bytes + 1, (const uint16_t[]){ 0x3E00, 0xC000, 0x0001 }, 6);
	dtype_to_f32(DTYPE_F16, bytes + 1, out, 3);
	assert_true(out[0] == 1.5f && out[1] == -2 && out[2] == 0x1p-24f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_halves),
		cmocka_unit_test(test_rounding),
		cmocka_unit_test(test_unaligned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
