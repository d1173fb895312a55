/*
 * Modelfiles: quoting, and that no cut of one does harm.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/modelfile.h"

static struct modelfile file;
static struct err error;

static int parse(const char *text)
{
	return modelfile_parse(text, strlen(text), &file, &error);
}

static void expect_system(const char *text, const char *system)
{
	assert_int_equal(parse(text), 0);
	assert_string_equal(file.system, system);
	modelfile_finish(&file);
}

static void test_quotes(void **state)
{
	(void)state;
	expect_system("SYSTEM  plain words \t\nFROM x", "plain words");
	expect_system("system plain", "plain");
	expect_system("SYSTEM \"quoted\"  \n", "quoted");
	expect_system("SYSTEM \"a \"b\" c\"\n", "a \"b\" c");
	expect_system("SYSTEM \"one\ntwo\"\nFROM x\n", "one\ntwo");
	expect_system("SYSTEM \"\"\"a \"\" b\nFROM y\n\"\"\"", "a \"\" b\nFROM y\n");
	expect_system("SYSTEM \"\"\"\"a\"\"\"\"", "\"a\"");
	expect_system("SYSTEM inner \"quotes\"", "inner \"quotes\"");
	expect_system("SYSTEM first\nSYSTEM second", "second");
	expect_system("SYSTEM # no comment", "# no comment");
}

static void test_lines_are_counted_through_quotes(void **state)
{
	(void)state;
	assert_true(parse("SYSTEM \"\"\"a\nb\n\nc\"\"\"\n\nBAD x") < 0);
	assert_non_null(strstr(error.text, "(line 6): command must be one of \"from\", "));
	modelfile_finish(&file);
}

static void test_parameters(void **state)
{
	(void)state;
	assert_int_equal(parse("PARAMETER steps 4\nPARAMETER steps 5\nPARAMETER seed -1\n"
			       "PARAMETER guidance 2\nPARAMETER step_cache teacache:0.2\n"), 0);
	assert_int_equal(json_object_size(file.parameters), 4);
	assert_int_equal(json_integer_value(json_object_get(file.parameters, "steps")), 5);
	assert_int_equal(json_integer_value(json_object_get(file.parameters, "seed")), -1);
	assert_true(json_is_real(json_object_get(file.parameters, "guidance")));
	assert_string_equal(json_string_value(json_object_get(file.parameters, "step_cache")),
			    "teacache:0.2");
	modelfile_finish(&file);
	assert_true(parse("PARAMETER steps 99999999999999999999") < 0);
	modelfile_finish(&file);
	assert_true(parse("PARAMETER guidance inf") < 0);
	modelfile_finish(&file);
}

static void test_every_cut_is_safe(void **state)
{
	static const char text[] = "\xef\xbb\xbf# c\r\nFROM ./x\nPARAMETER width 128\n"
				   "LICENSE \"\"\"a\n\"b\"\n\"\"\"\nSYSTEM \"s\"\n";

	(void)state;
	for (size_t len = 0; len < sizeof text; len++) {
		char *copy = malloc(len ? len : 1);

		/* No NUL behind it, so that a sanitizer sees every byte too many. */
		assert_non_null(copy);
		memcpy(copy, text, len);
		modelfile_parse(copy, len, &file, &error);
		modelfile_finish(&file);
		free(copy);
	}
}

static void test_missing_file(void **state)
{
	(void)state;
	assert_int_equal(modelfile_read("/nowhere/Modelfile", &file, &error), -ENOENT);
	modelfile_finish(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quotes),
		cmocka_unit_test(test_lines_are_counted_through_quotes),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_every_cut_is_safe),
		cmocka_unit_test(test_missing_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
