/*
 * err.c: sentences, causes, prefixes, and cutting that keeps UTF-8 whole.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"
#include "common/utf8.h"

static void test_sentence(void **unused)
{
	struct err err = { 0 };

	(void)unused;
	assert_int_equal(err_set(&err, -ENOENT, "model '%s' not found", "x"), -ENOENT);
	assert_int_equal(err.code, -ENOENT);
	assert_string_equal(err.text, "model 'x' not found");
	assert_int_equal(err_prefix(&err, "while %s", "loading"), -ENOENT);
	assert_string_equal(err.text, "while loading: model 'x' not found");
	/* An error may be made of itself. */
	err_set(&err, -EIO, "again: %s", err.text);
	assert_string_equal(err.text, "again: while loading: model 'x' not found");
	assert_int_equal(err_set(NULL, -EIO, "nobody listens"), -EIO);
}

static void test_cause(void **unused)
{
	char path[1000];
	struct err err;

	(void)unused;
	assert_int_equal(err_errno(&err, ENOSPC, "write %s", "/x/y"), -ENOSPC);
	assert_string_equal(err.text, "write /x/y: No space left on device");
	memset(path, 'p', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	err_errno(&err, ENOSPC, "write %s", path);
	assert_non_null(strstr(err.text, ": No space left on device"));
}

static void test_cut(void **unused)
{
	char text[2000];
	struct err err;

	(void)unused;
	for (size_t start = 0; start < 4; start++) {
		memset(text, 'a', start);
		for (size_t i = start; i + 4 < sizeof text; i += 3)
			memcpy(text + i, "\xE2\x82\xAC", 4);
		err_set(&err, -EINVAL, "%s", text);
		assert_true(strlen(err.text) > 500 && strlen(err.text) < sizeof err.text);
		assert_true(utf8_valid(err.text, strlen(err.text)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sentence),
		cmocka_unit_test(test_cause),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
