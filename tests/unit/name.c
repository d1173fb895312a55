/*
 * name.c: parsing, printing, and everything that must not become a path.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/name.h"

static void test_valid(void **unused)
{
	static const struct {
		const char *text, *shown, *path;
	} rows[] = {
		{ "z-image", "z-image:latest", "registry.ollama.ai/library/z-image/latest" },
		{ "x/z:bf16", "x/z:bf16", "registry.ollama.ai/x/z/bf16" },
		{ "host:5000/ns/m", "host:5000/ns/m:latest", "host:5000/ns/m/latest" },
		{ "h/library/m:t", "h/library/m:t", "h/library/m/t" },
		{ "https://registry.ollama.ai/library/q", "q:latest", "registry.ollama.ai/library/q/latest" },
		{ "http://h/n/m:t", "h/n/m:t", "h/n/m/t" },
		{ "REGISTRY.ollama.ai/Library/M", "M:latest", "REGISTRY.ollama.ai/Library/M/latest" },
		{ " \tz\n", "z:latest", "registry.ollama.ai/library/z/latest" },
		{ "_a.b-c:_", "_a.b-c:_", "registry.ollama.ai/library/_a.b-c/_" },
	};
	char text[NAME_TEXT_SIZE];
	struct model_name name;

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(name_parse(rows[i].text, &name, NULL), 0);
		name_short(&name, text);
		assert_string_equal(text, rows[i].shown);
		snprintf(text, sizeof text, "%s/%s/%s/%s", name.host, name.namespace, name.model, name.tag);
		assert_string_equal(text, rows[i].path);
	}
}

static void test_invalid(void **unused)
{
	static const char *const rows[] = {
		"", " ", "a b", "m:", ":t", "-m", ".m", "..", "a/..", "../m", "a/../m", "n.s/m", "h/n:s/m:t", "/n/m",
		"//m", "n/", "h//m", "m@sha256:aa", "m:t/../x", "m\n:t", "\xC3\xA9", "m:.t", "http://m", "m:a:b:",
		"a/b/c/d", "m\\x", "m%2f",
	};
	struct model_name name;
	struct err err;

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (name_parse(rows[i], &name, &err) != -EINVAL)
			fail_msg("\"%s\" passes", rows[i]);
		assert_string_equal(err.text, "invalid model name");
	}
}

static void test_lengths(void **unused)
{
	char text[2000], part[400], shown[NAME_TEXT_SIZE];
	struct model_name name;

	(void)unused;
	memset(part, 'a', sizeof part);
	snprintf(text, sizeof text, "%.350s/%.80s/%.80s:%.80s", part, part, part, part);
	assert_int_equal(name_parse(text, &name, NULL), 0);
	name_short(&name, shown);
	assert_string_equal(shown, text);
	for (int longer = 0; longer < 4; longer++) {
		snprintf(text, sizeof text, "%.*s/%.*s/%.*s:%.*s", 350 + (longer == 0), part,
			 80 + (longer == 1), part, 80 + (longer == 2), part, 80 + (longer == 3), part);
		assert_int_equal(name_parse(text, &name, NULL), -EINVAL);
	}
	memset(text, 'a', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	assert_int_equal(name_parse(text, &name, NULL), -EINVAL);
}

static void test_equal(void **unused)
{
	struct model_name a, b;

	(void)unused;
	assert_int_equal(name_parse("X/Model:Tag", &a, NULL), 0);
	assert_int_equal(name_parse("x/mODEL:tAG", &b, NULL), 0);
	assert_true(name_equal(&a, &b));
	assert_int_equal(name_parse("x/model:tag2", &b, NULL), 0);
	assert_false(name_equal(&a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
