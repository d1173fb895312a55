/*
 * fields.c: every type, its range, and errors that name the member.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fields.h"

struct things {
	bool flag;
	uint32_t width;
	int64_t number;
	uint64_t seed;
	double scale;
	char *text;
	json_t *any;
};

static const struct field table[] = {
	FIELD(struct things, flag, BOOL),
	FIELD(struct things, width, U32, .min = 1, .max = 4096),
	FIELD(struct things, number, I64),
	FIELD(struct things, seed, U64),
	FIELD_AS(struct things, scale, "guidance", F64, .alias = "cfg_scale"),
	FIELD(struct things, text, STR, .max = 8),
	FIELD(struct things, any, JSON),
	{ 0 }
};

static int read(const char *json, unsigned flags, struct things *t, uint64_t *present, struct err *err)
{
	json_t *object = json_loads(json, JSON_DECODE_ANY, NULL);
	int r = fields_read(table, object, flags, t, present, err);

	json_decref(object);
	return r;
}

static void test_all_types(void **unused)
{
	struct things t = { 0 };
	uint64_t present;
	json_t *back;
	char *text;

	(void)unused;
	assert_int_equal(read("{\"flag\":true,\"width\":7,\"number\":-5,\"seed\":\"18446744073709551615\","
			      "\"guidance\":2,\"text\":\"abc\",\"any\":[1]}", FIELDS_STRICT, &t, &present, NULL), 0);
	assert_int_equal(present, 0x7F);
	assert_true(t.flag && t.width == 7 && t.number == -5 && t.seed == UINT64_MAX && t.scale >= 2);
	back = fields_write(table, &t);
	text = json_dumps(back, JSON_COMPACT);
	assert_string_equal(text, "{\"flag\":true,\"width\":7,\"number\":-5,\"seed\":\"18446744073709551615\","
			    "\"guidance\":2.0,\"text\":\"abc\",\"any\":[1]}");
	free(text);
	json_decref(back);
	fields_clear(table, &t);
	assert_null(t.text);
	assert_null(t.any);
}

static void test_defaults(void **unused)
{
	struct things t = { .width = 9, .text = strdup("old") };
	uint64_t present;

	(void)unused;
	assert_int_equal(read("{\"width\":null,\"other\":1}", 0, &t, &present, NULL), 0);
	assert_int_equal(present, 0);
	assert_int_equal(t.width, 9);
	assert_string_equal(t.text, "old");
	assert_int_equal(read("{\"text\":\"new\"}", 0, &t, &present, NULL), 0);
	assert_int_equal(present, 1 << 5);
	assert_string_equal(t.text, "new");
	fields_clear(table, &t);
}

static void test_names(void **unused)
{
	struct things t = { 0 };

	(void)unused;
	assert_int_equal(read("{\"WIDTH\":5,\"cfg_scale\":3}", 0, &t, NULL, NULL), 0);
	assert_true(t.width == 0 && t.scale >= 3);
	assert_int_equal(read("{\"WIDTH\":5,\"Cfg_Scale\":4}", FIELDS_NOCASE, &t, NULL, NULL), 0);
	assert_true(t.width == 5 && t.scale >= 4);
	assert_int_equal(read("{\"width\":6,\"WIDTH\":7}", FIELDS_NOCASE, &t, NULL, NULL), 0);
	assert_int_equal(t.width, 6);
	assert_int_equal(read("{\"guidance\":1,\"cfg_scale\":2}", 0, &t, NULL, NULL), 0);
	assert_true(t.scale < 2);
}

static void test_refused(void **unused)
{
	static const char *const rows[][2] = {
		{ "{\"flag\":1}", "'flag'" }, { "{\"width\":\"7\"}", "'width'" }, { "{\"width\":1.5}", "1.5" },
		{ "{\"width\":1.0}", "1.0" }, { "{\"width\":0}", "'width'" }, { "{\"width\":4097}", "4097" },
		{ "{\"width\":-1}", "-1" }, { "{\"width\":4294967296}", "4294967296" },
		{ "{\"number\":1e3}", "'number'" }, { "{\"seed\":-1}", "'seed'" }, { "{\"seed\":\"\"}", "'seed'" },
		{ "{\"seed\":\"18446744073709551616\"}", "'seed'" }, { "{\"seed\":\"1x\"}", "'seed'" },
		{ "{\"guidance\":\"2\"}", "'guidance'" }, { "{\"cfg_scale\":[]}", "'guidance'" },
		{ "{\"text\":5}", "'text'" }, { "{\"text\":\"123456789\"}", "'text'" },
		{ "{\"unknown\":5}", "'unknown'" }, { "[]", "array" }, { "7", "integer" },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct things t = { .text = strdup("x") };
		struct err err = { 0 };

		assert_int_equal(read(rows[i][0], FIELDS_STRICT, &t, NULL, &err), -EINVAL);
		if (!strstr(err.text, rows[i][1]))
			fail_msg("%s: %s", rows[i][0], err.text);
		assert_null(t.text);
	}
}

static void test_required(void **unused)
{
	static const struct field rows[] = {
		FIELD(struct things, any, JSON),
		FIELD(struct things, text, STR, .required = true),
		{ 0 }
	};
	json_t *object = json_loads("{\"any\":{},\"text\":null}", 0, NULL);
	struct things t = { 0 };
	struct err err;

	(void)unused;
	assert_int_equal(fields_read(rows, object, 0, &t, NULL, &err), -EINVAL);
	assert_string_equal(err.text, "member 'text' is missing");
	assert_null(t.any);
	json_decref(object);
}

static void test_write_invalid_utf8(void **unused)
{
	struct things t = { .text = (char *)"a\xFF" };
	json_t *object = fields_write(table, &t);

	(void)unused;
	assert_string_equal(json_string_value(json_object_get(object, "text")), "a\xEF\xBF\xBD");
	assert_null(json_object_get(object, "any"));
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_types),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_required),
		cmocka_unit_test(test_write_invalid_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
