/*
 * buf.c: growth, the maximum, sticky failure.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/buf.h"

static void test_append_and_consume(void **unused)
{
	struct buf b = BUF_INIT(100000);
	size_t len;
	char *taken;

	(void)unused;
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%03d,", i);
	assert_int_equal(b.len, 4000);
	buf_consume(&b, 3996);
	assert_string_equal(b.data, "999,");
	buf_consume(&b, 10);
	assert_string_equal(b.data, "");
	buf_puts(&b, "new");
	taken = buf_take(&b, &len);
	assert_string_equal(taken, "new");
	assert_int_equal(len, 3);
	free(taken);
	assert_null(b.data);
}

static void test_maximum(void **unused)
{
	struct buf b = BUF_INIT(8);

	(void)unused;
	buf_append(&b, "12345678", 8);
	assert_false(buf_failed(&b));
	buf_append(&b, "", 0);
	assert_false(buf_failed(&b));
	buf_puts(&b, "9");
	assert_true(buf_failed(&b));
	assert_string_equal(b.data, "12345678");
	buf_consume(&b, 8);
	buf_puts(&b, "x");              /* room again, but the failure stays */
	assert_int_equal(b.len, 0);
	assert_null(buf_take(&b, NULL));
	buf_puts(&b, "x");              /* a new buffer */
	assert_string_equal(b.data, "x");
	buf_finish(&b);
}

static void test_empty(void **unused)
{
	struct buf b = BUF_INIT(SIZE_MAX);
	char *taken;

	(void)unused;
	buf_consume(&b, 5);
	taken = buf_take(&b, NULL);
	assert_string_equal(taken, "");
	free(taken);
	buf_append(&b, "a", 1);
	buf_append(&b, "x", SIZE_MAX - 1);      /* len + NUL would wrap */
	assert_true(buf_failed(&b));
	buf_finish(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append_and_consume),
		cmocka_unit_test(test_maximum),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
