/*
 * common/quantise.c: words in any case, and the sentence about all others.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/quantise.h"

static void test_words(void **unused)
{
	static const struct {
		const char *word, *form;
	} good[] = {
		{ "int8", "int8" }, { "q8", "int8" }, { "Q8", "int8" }, { "fp8", "int8" }, { "FP8", "int8" },
		{ "int4", "int4" }, { "q4", "int4" }, { "Fp4", "int4" }, { "nvfp4", "nvfp4" }, { "MXFP4", "mxfp4" },
		{ "mxfp8", "mxfp8" },
	};
	static const char *const bad[] = { "int", "int80", " int8", "q5", "bf16", "none", "0" };
	struct err err;

	(void)unused;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_string_equal(quantise_form(good[i].word), good[i].form);
		assert_int_equal(quantise_check(good[i].word, &err), 0);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_null(quantise_form(bad[i]));
		assert_int_equal(quantise_check(bad[i], &err), -EINVAL);
	}
	assert_int_equal(quantise_check(NULL, &err), 0);
	assert_int_equal(quantise_check("", &err), 0);
	assert_int_equal(quantise_check("q5", &err), -EINVAL);
	assert_string_equal(err.text, "unsupported --quantize \"q5\": supported types are int4, int8, nvfp4, mxfp4, "
				      "mxfp8, fp8");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_words) };

	return cmocka_run_group_tests_name("quantise", tests, NULL, NULL);
}
