/*
 * The flag parser: every way to write a flag, and the sentences of its refusals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/options.h"

struct values {
	int64_t steps;
	double guidance;
	const char *file, *think;
	struct flag_list images;
	bool verbose, quiet;
};

static const struct flag flags[] = {
	{ "steps", 's', FLAG_INT, offsetof(struct values, steps) },
	{ "guidance", 0, FLAG_FLOAT, offsetof(struct values, guidance) },
	{ "file", 'f', FLAG_TEXT, offsetof(struct values, file) },
	{ "think", 0, FLAG_OPTIONAL, offsetof(struct values, think) },
	{ "image", 'i', FLAG_LIST, offsetof(struct values, images) },
	{ "verbose", 'v', FLAG_BOOL, offsetof(struct values, verbose) },
	{ "quiet", 'q', FLAG_BOOL, offsetof(struct values, quiet) },
	{ 0 }
};

static struct values values;
static char *args[16];
static size_t n_args;
static struct err error;

static int parse(const char *const *words)
{
	char *argv[FLAG_LIST_MAX + 2];
	int argc = 0;

	values = (struct values){ 0 };
	for (; words[argc]; argc++)
		argv[argc] = (char *)words[argc];
	return options_parse(flags, argc, argv, &values, args, &n_args, &error);
}

#define PARSE(...) parse((const char *const[]){ __VA_ARGS__, NULL })

static void test_forms(void **state)
{
	(void)state;
	assert_int_equal(PARSE("a", "--steps", "4", "-f", "x", "b", "-v"), 0);
	assert_int_equal(n_args, 2);
	assert_string_equal(args[1], "b");
	assert_int_equal(values.steps, 4);
	assert_string_equal(values.file, "x");
	assert_true(values.verbose && !values.quiet);

	assert_int_equal(PARSE("--steps=-0x10", "-fx=y", "-vq", "--guidance=.5"), 0);
	assert_int_equal(values.steps, -16);
	assert_string_equal(values.file, "x=y");
	assert_true(values.verbose && values.quiet && values.guidance == 0.5);

	assert_int_equal(PARSE("-vs", "-7", "-f=", "--verbose=false", "--think", "x"), 0);
	assert_int_equal(values.steps, -7);
	assert_string_equal(values.file, "");
	assert_string_equal(values.think, "true");
	assert_true(!values.verbose && n_args == 1);

	assert_int_equal(PARSE("-", "--think=", "--", "-v", "--"), 0);
	assert_int_equal(n_args, 3);
	assert_string_equal(values.think, "");
	assert_false(values.verbose);
}

static void test_help_wins_from_where_it_stands(void **state)
{
	(void)state;
	assert_int_equal(PARSE("a", "--help", "--bogus"), OPTIONS_HELP);
	assert_int_equal(PARSE("-vh"), OPTIONS_HELP);
	assert_true(PARSE("--bogus", "--help") < 0);
}

static void test_lists(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--image", "a", "x", "--image=b", "-ic"), 0);
	assert_int_equal(n_args, 1);
	assert_int_equal(values.images.n, 3);
	assert_string_equal(values.images.items[0], "a");
	assert_string_equal(values.images.items[2], "c");
}

static void test_lists_are_bounded(void **state)
{
	static const char *words[FLAG_LIST_MAX + 2];

	(void)state;
	for (size_t i = 0; i <= FLAG_LIST_MAX; i++)
		words[i] = "--image=a";
	assert_true(parse(words) < 0);
	assert_string_equal(error.text, "invalid argument \"a\" for \"-i, --image\" flag: given too often");
	words[FLAG_LIST_MAX] = NULL;
	assert_int_equal(parse(words), 0);
	assert_int_equal(values.images.n, FLAG_LIST_MAX);
}

static void refused(int result, const char *sentence)
{
	assert_true(result < 0);
	assert_string_equal(error.text, sentence);
}

static void test_refusals(void **state)
{
	(void)state;
	refused(PARSE("--step"), "unknown flag: --step");
	refused(PARSE("--stepsx=1"), "unknown flag: --stepsx");
	refused(PARSE("--=1"), "bad flag syntax: --=1");
	refused(PARSE("---v"), "bad flag syntax: ---v");
	refused(PARSE("-vx1"), "unknown shorthand flag: 'x' in -x1");
	refused(PARSE("-vf"), "flag needs an argument: 'f' in -f");
	refused(PARSE("--file"), "flag needs an argument: --file");
	refused(PARSE("--steps", " 1"), "invalid argument \" 1\" for \"-s, --steps\" flag: "
		"strconv.ParseInt: parsing \" 1\": invalid syntax");
	refused(PARSE("--steps=1x"), "invalid argument \"1x\" for \"-s, --steps\" flag: "
		"strconv.ParseInt: parsing \"1x\": invalid syntax");
	refused(PARSE("--steps="), "invalid argument \"\" for \"-s, --steps\" flag: "
		"strconv.ParseInt: parsing \"\": invalid syntax");
	refused(PARSE("--guidance", "nan"), "invalid argument \"nan\" for \"--guidance\" flag: "
		"strconv.ParseFloat: parsing \"nan\": invalid syntax");
	refused(PARSE("--guidance", "1e999"), "invalid argument \"1e999\" for \"--guidance\" flag: "
		"strconv.ParseFloat: parsing \"1e999\": value out of range");
}

static void test_counts(void **state)
{
	(void)state;
	assert_int_equal(options_check_count(1, 2, 2, &error), 0);
	refused(options_check_count(1, 2, 3, &error), "accepts between 1 and 2 arg(s), received 3");
	refused(options_check_count(0, 1, 2, &error), "accepts at most 1 arg(s), received 2");
	refused(options_check_count(2, 2, 1, &error), "accepts 2 arg(s), received 1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_help_wins_from_where_it_stands),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_lists_are_bounded),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
