/*
 * manifest.c: the reference's bytes, round trips, and manifests that must be refused.
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

#include "common/manifest.h"

#define A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define HEAD "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_MANIFEST "\","
#define CONFIG "\"config\":{\"mediaType\":\"" MEDIA_CONFIG "\",\"digest\":\"" A "\",\"size\":5},"

static struct manifest *parse(const char *text)
{
	struct manifest *m = NULL;
	struct err err = { 0 };

	if (manifest_parse(text, strlen(text), &m, &err) < 0)
		fail_msg("%s", err.text);
	return m;
}

static void test_print(void **unused)
{
	static const char want[] = HEAD CONFIG "\"layers\":["
		"{\"mediaType\":\"" MEDIA_TENSOR "\",\"digest\":\"" B "\",\"size\":7,\"from\":\"m:latest\","
		"\"name\":\"vae/x\",\"dtype\":\"BF16\",\"shape\":[2,3]},"
		"{\"mediaType\":\"" MEDIA_LICENSE "\",\"digest\":\"" A "\",\"size\":1,\"name\":\"\\u003c\\u0026\\u003e\"}"
		"]}\n";
	struct manifest *m = manifest_create(), *back;
	char digest[DIGEST_SIZE], *text;
	struct layer *l;
	size_t len;

	(void)unused;
	m->config = (struct layer){ .media_type = strdup(MEDIA_CONFIG), .digest = A, .size = 5 };
	l = manifest_add(m, MEDIA_TENSOR, B, 7, "vae/x");
	l->from = strdup("m:latest");
	l->dtype = strdup("BF16");
	l->shape = json_pack("[i,i]", 2, 3);
	assert_non_null(manifest_add(m, MEDIA_LICENSE, A, 1, "<&>"));
	assert_null(manifest_add(m, MEDIA_LICENSE, "sha256:../../x", 1, NULL));
	text = manifest_print(m, &len);
	assert_string_equal(text, want);
	assert_int_equal(len, strlen(want));
	assert_int_equal(manifest_size(m), 13);

	back = parse(text);
	digest_bytes(text, len, digest);
	assert_string_equal(back->digest, digest);
	assert_int_equal(back->n_layers, 2);
	assert_string_equal(back->layers[1].name, "<&>");
	assert_ptr_equal(manifest_find(back, MEDIA_TENSOR, "vae/x"), &back->layers[0]);
	assert_ptr_equal(manifest_find(back, MEDIA_LICENSE, NULL), &back->layers[1]);
	assert_null(manifest_find(back, MEDIA_JSON, "vae/x"));
	free(text);
	manifest_free(back);
	manifest_free(m);
}

static void test_tolerated(void **unused)
{
	struct manifest *m = parse("{\"more\":[1],\"layers\":[{\"mediaType\":\"x\",\"digest\":\"sha256-"
				   "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"size\":0,"
				   "\"name\":\"\",\"urls\":null}],\"config\":{\"mediaType\":\"\",\"digest\":\"\",\"size\":0}}");

	(void)unused;
	assert_string_equal(m->layers[0].digest, A);
	assert_null(m->layers[0].name);
	assert_string_equal(m->config.digest, "");
	manifest_free(m);
}

static void test_many_layers(void **unused)
{
	struct manifest *m = manifest_create();
	char name[32];

	(void)unused;
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "t/%d", i);
		assert_non_null(manifest_add(m, MEDIA_TENSOR, A, 1, name));
	}
	assert_string_equal(manifest_find(m, MEDIA_TENSOR, "t/999")->name, "t/999");
	manifest_free(m);
	manifest_free(NULL);
}

#define LAYER(digest, size, more) \
	"{\"layers\":[{\"mediaType\":\"x\",\"digest\":\"" digest "\",\"size\":" size more "}]}"

static void test_refused(void **unused)
{
	static const char *const rows[] = {
		"", "{", "[]", "{}", "{\"layers\":{}}", "{\"layers\":[1]}", "{\"layers\":[{}]}",
		LAYER("sha256:x/../../f", "1", ""), LAYER("sha512:" "aa", "1", ""), LAYER(A "a", "1", ""),
		LAYER(A, "-1", ""), LAYER(A, "1.5", ""), LAYER(A, "\"x\"", ""), LAYER(A, "99999999999999999999", ""),
		LAYER(A, "1", ",\"name\":\"/etc/passwd\""), LAYER(A, "1", ",\"name\":\"a/../../b\""),
		LAYER(A, "1", ",\"name\":\"..\""), LAYER(A, "1", ",\"name\":7"),
		"{\"layers\":[],\"config\":{\"digest\":\"sha256:../../x\",\"mediaType\":\"x\",\"size\":1}}",
		LAYER(A, "1", "") "x",
	};

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct manifest *m = NULL;
		struct err err;

		if (manifest_parse(rows[i], strlen(rows[i]), &m, &err) != -EBADMSG)
			fail_msg("%s", rows[i]);
		assert_null(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_tolerated),
		cmocka_unit_test(test_many_layers),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
