/*
 * digest.c: known hashes, and the spellings that are accepted.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/digest.h"

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void test_hash(void **unused)
{
	char digest[DIGEST_SIZE];
	struct digest *d = digest_begin();

	(void)unused;
	digest_update(d, "a", 1);
	digest_update(d, "", 0);
	digest_update(d, "bc", 2);
	digest_end(d, digest);
	assert_string_equal(digest, "sha256:" ABC);
	digest_bytes("abc", 3, digest);
	assert_string_equal(digest, "sha256:" ABC);
	digest_abort(digest_begin());
	digest_abort(NULL);
}

static void test_parse(void **unused)
{
	static const char *const bad[] = {
		"", "sha256:", "sha256:" "ba7816", "sha256:" ABC "0", "sha512:" ABC, "sha256_" ABC, ABC,
		"sha256:../../../../etc/passwd/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "SHA256:" ABC,
		"sha256:ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	};
	char digest[DIGEST_SIZE];
	struct err err;

	(void)unused;
	assert_int_equal(digest_parse("sha256-BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
				      digest, &err), 0);
	assert_string_equal(digest, "sha256:" ABC);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(digest_parse(bad[i], digest, &err), -EINVAL);
		assert_string_equal(err.text, "invalid digest format");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_hash), cmocka_unit_test(test_parse) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
