/*
 * safetensors.c: what must be accepted and what must be refused of a header, every
 * truncation of a file, and the headers that easel writes.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/safetensors.h"
#include "tests/temp.h"

static size_t file_bytes(const char *json, size_t data, unsigned char *out)
{
	size_t len = strlen(json);

	for (int i = 0; i < 8; i++)
		out[i] = (unsigned char)(len >> 8 * i);
	memcpy(out + 8, json, len);
	memset(out + 8 + len, 0xAB, data);
	return 8 + len + data;
}

static int parse(const char *json, size_t data, struct safetensors *st, struct err *err)
{
	unsigned char bytes[2048];
	size_t len = file_bytes(json, data, bytes);

	return safetensors_parse(bytes, len - data, len, st, err);
}

#define F32(name, shape, range) "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" range "}"

static void test_accepted(void **unused)
{
	struct safetensors st;
	const struct st_tensor *t;

	(void)unused;
	assert_int_equal(parse("{" F32("b", "[2,3]", "[4,28]") ",\"__metadata__\":{\"k\":\"v\"}," F32("a", "[]", "[0,4]")
			       "," F32("none", "[0,9]", "[28,28]") "}   ", 28, &st, NULL), 0);
	assert_int_equal(st.n_tensors, 3);
	assert_string_equal(st.tensors[0].name, "a");
	t = safetensors_find(&st, "b");
	assert_true(t->rank == 2 && t->shape[1] == 3 && t->begin == 4 && t->end == 28 && t->dtype == DTYPE_F32);
	assert_int_equal(st_tensor_elements(t), 6);
	assert_int_equal(st_tensor_elements(safetensors_find(&st, "a")), 1);
	assert_int_equal(st_tensor_elements(safetensors_find(&st, "none")), 0);
	assert_null(safetensors_find(&st, "c"));
	assert_string_equal(json_string_value(json_object_get(st.metadata, "k")), "v");
	safetensors_finish(&st);

	assert_int_equal(parse("{\"__metadata__\":null}", 0, &st, NULL), 0);
	assert_null(st.metadata);
	assert_null(safetensors_find(&st, "a"));
	safetensors_finish(&st);
}

static void test_refused(void **unused)
{
	static const struct {
		const char *json;
		size_t data;
		const char *why;
	} rows[] = {
		{ "{}", 1, "follow the last tensor" },
		{ "[]", 0, "no JSON object" },
		{ "{", 0, "no JSON object" },
		{ "{" F32("a", "[1]", "[0,4]") "}x", 4, "no JSON object" },
		{ "{" F32("a", "[1]", "[0,4]") "," F32("a", "[1]", "[4,8]") "}", 8, "duplicate" },
		{ "{" F32("a", "[1]", "[0,4]") "}", 8, "follow the last tensor" },
		{ "{" F32("a", "[1]", "[0,4]") "}", 3, "truncated" },
		{ "{" F32("a", "[1]", "[4,8]") "}", 8, "unused bytes" },
		{ "{" F32("a", "[2]", "[0,8]") "," F32("b", "[2]", "[4,12]") "}", 12, "overlaps" },
		{ "{" F32("a", "[1]", "[4,0]") "}", 4, "data_offsets" },
		{ "{" F32("a", "[1]", "[-4,0]") "}", 4, "data_offsets" },
		{ "{" F32("a", "[1]", "[0]") "}", 4, "data_offsets" },
		{ "{" F32("a", "[1]", "[0,4.0]") "}", 4, "data_offsets" },
		{ "{" F32("a", "[2]", "[0,4]") "}", 4, "4 bytes of data for a shape of 8" },
		{ "{" F32("a", "[-1]", "[0,4]") "}", 4, "shape" },
		{ "{" F32("a", "[4611686018427387904,4]", "[0,0]") "}", 0, "shape" },
		{ "{" F32("a", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, "shape" },
		{ "{" F32("a", "1", "[0,4]") "}", 4, "shape" },
		{ "{\"a\":{\"dtype\":\"F33\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, "F33" },
		{ "{\"a\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4, "dtype" },
		{ "{\"a\":5}", 0, "dtype" },
		{ "{\"__metadata__\":{\"k\":1}}", 0, "__metadata__" },
		{ "{\"__metadata__\":[]}", 0, "__metadata__" },
		{ "{" F32("a", "[99999999999999999999]", "[0,4]") "}", 4, "no JSON object" },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct safetensors st;
		struct err err = { 0 };

		assert_int_equal(parse(rows[i].json, rows[i].data, &st, &err), -EBADMSG);
		if (!strstr(err.text, rows[i].why))
			fail_msg("%s: %s", rows[i].json, err.text);
		assert_null(st.tensors);
	}
}

static void test_lengths(void **unused)
{
	static const uint64_t lengths[] = { 0, 1ull << 63, UINT64_MAX, UINT64_MAX - 7, LIMIT_ST_HEADER + 1, 93, 3 };
	unsigned char bytes[100] = { 0 };
	struct safetensors st;

	(void)unused;
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		for (int k = 0; k < 8; k++)
			bytes[k] = (unsigned char)(lengths[i] >> 8 * k);
		assert_int_equal(safetensors_parse(bytes, sizeof bytes, sizeof bytes, &st, NULL), -EBADMSG);
	}
}

static void test_truncated_files(void **unused)
{
	unsigned char bytes[256];
	size_t len = file_bytes("{" F32("data", "[4]", "[0,16]") "}", 16, bytes);
	char *folder = temp_create(), path[256];
	struct safetensors st;
	struct err err;

	(void)unused;
	snprintf(path, sizeof path, "%s/x.safetensors", folder);
	assert_int_equal(safetensors_map(path, &st, &err), -ENOENT);
	for (size_t cut = 0; cut < len; cut++) {
		temp_write(folder, "x.safetensors", bytes, cut);
		assert_int_equal(safetensors_map(path, &st, &err), -EBADMSG);
		assert_non_null(strstr(err.text, "x.safetensors"));
	}
	temp_write(folder, "x.safetensors", bytes, len);
	assert_int_equal(safetensors_map(path, &st, &err), 0);
	assert_int_equal(st.map[st.data_start], 0xAB);
	safetensors_finish(&st);
	safetensors_finish(&st);
	assert_true(safetensors_map(folder, &st, &err) < 0);
	temp_remove(folder);
}

static void test_pick(void **unused)
{
	static const char *const rows[][2] = {
		{ "{" F32("data", "[]", "[0,4]") "," F32("vae/x", "[]", "[4,8]") "," F32("x", "[]", "[8,12]") "}", "x" },
		{ "{" F32("data", "[]", "[0,4]") "," F32("vae/x", "[]", "[4,8]") "," F32("y", "[]", "[8,12]") "}", "vae/x" },
		{ "{" F32("data", "[]", "[0,4]") "," F32("v", "[]", "[4,8]") "," F32("y", "[]", "[8,12]") "}", "data" },
	};
	struct safetensors st;

	(void)unused;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(parse(rows[i][0], 12, &st, NULL), 0);
		assert_string_equal(safetensors_pick(&st, "vae/x")->name, rows[i][1]);
		safetensors_finish(&st);
	}
}

static void test_blob_header(void **unused)
{
	const uint64_t shape[] = { 3, 5 }, huge[] = { 1ull << 40, 1ull << 40 };
	struct safetensors st;
	size_t len;
	char *head;

	(void)unused;
	for (unsigned rank = 0; rank <= 2; rank++) {
		uint64_t bytes = rank == 0 ? 2 : rank == 1 ? 6 : 30;

		assert_int_equal(safetensors_header(&(struct st_entry){ "data", DTYPE_BF16, rank, shape }, 1, NULL, &head, &len, NULL), 0);
		assert_int_equal(len % 64, 0);
		assert_int_equal(safetensors_parse(head, len, len + bytes, &st, NULL), 0);
		assert_int_equal(st.data_start, len);
		assert_int_equal(safetensors_find(&st, "data")->rank, rank);
		safetensors_finish(&st);
		free(head);
	}
	assert_int_equal(safetensors_header(&(struct st_entry){ "data", DTYPE_F32, 2, huge }, 1, NULL, &head, &len, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_truncated_files),
		cmocka_unit_test(test_pick),
		cmocka_unit_test(test_blob_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
