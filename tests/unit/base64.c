/*
 * base64.c: both directions, and the byte that an error names.
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

#include "common/base64.h"

static void test_round_trip(void **unused)
{
	unsigned char data[300], *back;
	char text[400];
	size_t n, len;

	(void)unused;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (unsigned char)(i * 167 + 3);
	for (size_t size = 0; size < sizeof data; size++) {
		n = base64_encode(data, size, text);
		assert_int_equal(n, base64_size(size));
		assert_int_equal(base64_decode(text, n, &back, &len, NULL), 0);
		assert_int_equal(len, size);
		assert_memory_equal(back, data, size);
		free(back);
	}
	n = base64_encode(data, 99, text);
	n += base64_encode(data + 99, 201, text + n);
	assert_int_equal(n, base64_size(300));  /* whole groups may be encoded piecewise */
}

/* Long data takes another way, and must come out as its pieces do. */
static void test_long(void **unused)
{
	enum { LEN = 30000, PIECE = 300 };
	static unsigned char data[LEN + 2];
	static char whole[40010], pieces[40010];

	(void)unused;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (unsigned char)(i * i * 7 + i / 256);
	for (size_t tail = 0; tail < 3; tail++) {
		size_t n = 0, len = base64_encode(data, LEN + tail, whole);

		for (size_t at = 0; at < LEN + tail; at += PIECE)
			n += base64_encode(data + at, LEN + tail - at < PIECE ? LEN + tail - at : PIECE,
					   pieces + n);
		assert_int_equal(len, n);
		assert_int_equal(len, base64_size(LEN + tail));
		assert_memory_equal(whole, pieces, len);
	}
}

static void test_accepted(void **unused)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "", "" }, { "\r\n", "" }, { "aGk=", "hi" }, { "aA==", "h" }, { "aGVsbG8=\n", "hello" },
		{ "aG\r\nVsb\nG8\n=", "hello" }, { "aA=\n=\n", "h" },
	};
	unsigned char *out;
	size_t len;

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(base64_decode(rows[i].text, strlen(rows[i].text), &out, &len, NULL), 0);
		assert_int_equal(len, strlen(rows[i].want));
		assert_memory_equal(out, rows[i].want, len);
		free(out);
	}
}

/* Line breaks at every place, over the text itself. */
static void test_in_place(void **unused)
{
	unsigned char data[100];
	char text[400], broken[400];
	size_t n, len, at;

	(void)unused;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (unsigned char)(i * 89 + 7);
	for (size_t size = 0; size <= sizeof data; size++) {
		n = base64_encode(data, size, text);
		for (size_t every = 1; every < 9; every++) {
			at = 0;
			for (size_t i = 0; i < n; i++) {
				broken[at++] = text[i];
				if (i % every == 0)
					broken[at++] = '\n';
			}
			assert_int_equal(base64_decode_in_place(broken, at, &len, NULL), 0);
			assert_int_equal(len, size);
			assert_memory_equal(broken, data, size);
		}
	}
}

/* Positions as the reference's decoder names them. */
static void test_refused(void **unused)
{
	static const struct {
		const char *text;
		int at;
	} rows[] = {
		{ "!", 0 }, { "aGk", 0 }, { "aGVsbG8", 4 }, { "a", 0 }, { "a===", 1 }, { "aG=k", 2 },
		{ "aG=", 3 }, { "aGk=x", 4 }, { "aGk==", 4 }, { "=", 0 }, { "aGk=aGk=", 4 }, { "aG k", 2 },
		{ "aGk-", 3 },
	};
	unsigned char *out;
	char want[64], copy[64];
	struct err err;
	size_t len;

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(base64_decode(rows[i].text, strlen(rows[i].text), &out, &len, &err), -EINVAL);
		snprintf(want, sizeof want, "illegal base64 data at input byte %d", rows[i].at);
		assert_string_equal(err.text, want);
		strcpy(copy, rows[i].text);
		assert_int_equal(base64_decode_in_place(copy, strlen(copy), &len, &err), -EINVAL);
		assert_string_equal(err.text, want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_in_place),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
