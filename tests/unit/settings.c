/*
 * settings.c: which variable wins, stripping, booleans, numbers, durations.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/settings.h"

static void set(const char *easel, const char *ollama)
{
	unsetenv("EASEL_X");
	unsetenv("OLLAMA_X");
	if (easel)
		setenv("EASEL_X", easel, 1);
	if (ollama)
		setenv("OLLAMA_X", ollama, 1);
}

static void test_get(void **unused)
{
	static const struct {
		const char *easel, *ollama, *want;
	} rows[] = {
		{ NULL, NULL, NULL }, { "a", "b", "a" }, { NULL, "b", "b" }, { "", "b", "b" }, { " ", NULL, NULL },
		{ " \"a b\" ", NULL, "a b" }, { "'a'", NULL, "a" }, { "\"\"", "b", "b" }, { "a\"b", NULL, "a\"b" },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char *got;

		set(rows[i].easel, rows[i].ollama);
		got = settings_get("X");
		if (!got != !rows[i].want || (got && strcmp(got, rows[i].want)))
			fail_msg("row %zu: %s", i, got ? got : "unset");
		free(got);
	}
}

static void test_bool(void **unused)
{
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False", " 'false' " };
	static const char *const yes[] = { "1", "t", "true", "TRUE", "2", "no", "anything" };

	(void)unused;
	for (size_t i = 0; i < 7; i++) {
		set(no[i], NULL);
		assert_false(settings_bool("X", true));
		set(yes[i], NULL);
		assert_true(settings_bool("X", false));
	}
	set(NULL, NULL);
	assert_true(settings_bool("X", true));
	assert_false(settings_bool("X", false));
}

static void test_numbers(void **unused)
{
	static const char *const bad[] = { "-1", "+1", "1x", "x", "18446744073709551616", "1.5" };

	(void)unused;
	set("18446744073709551615", NULL);
	assert_true(settings_u64("X", 7) == UINT64_MAX);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		set(bad[i], NULL);
		assert_int_equal(settings_u64("X", 7), 7);
	}
}

static void test_durations(void **unused)
{
	static const struct {
		const char *text;
		int64_t want;
	} rows[] = {
		{ NULL, 7 }, { "5m", 300000000000 }, { "10", 10000000000 }, { "0", 0 }, { "-1", INT64_MAX },
		{ "-1m", INT64_MAX }, { "1d", 7 }, { "???", 7 }, { "99999999999", 7 },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		set(rows[i].text, NULL);
		if (settings_duration_ns("X", 7) != rows[i].want)
			fail_msg("%s", rows[i].text);
	}
}

static void test_models_dir(void **unused)
{
	struct err err;
	char *path;

	(void)unused;
	unsetenv("EASEL_MODELS");
	unsetenv("OLLAMA_MODELS");
	setenv("HOME", "/home/u", 1);
	path = settings_models_dir(&err);
	assert_string_equal(path, "/home/u/.ollama/models");
	free(path);
	unsetenv("HOME");
	assert_null(settings_models_dir(&err));
	assert_non_null(strstr(err.text, "EASEL_MODELS"));
	setenv("OLLAMA_MODELS", "/m", 1);
	path = settings_models_dir(&err);
	assert_string_equal(path, "/m");
	free(path);
}

static void test_log_level(void **unused)
{
	static const struct {
		const char *text;
		enum log_level want;
	} rows[] = {
		{ "", LOG_INFO }, { "0", LOG_INFO }, { "1", LOG_DEBUG }, { "true", LOG_DEBUG }, { "2", LOG_TRACE },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		setenv("EASEL_DEBUG", rows[i].text, 1);
		assert_int_equal(log_level_from_env(), rows[i].want);
	}
	unsetenv("EASEL_DEBUG");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_bool),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_models_dir),
		cmocka_unit_test(test_log_level),
	};

	log_open("test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
