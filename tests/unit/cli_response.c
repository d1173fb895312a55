/*
 * HTTP answers cut into pieces of every size, and answers that are none.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/response.h"

static struct buf body;
static struct response response;
static struct err error;

static int keep(void *ctx, const char *data, size_t len, struct err *err)
{
	(void)err;
	buf_append(ctx, data, len);
	return 0;
}

/* Feeds text in pieces; 0 when the answer was whole. */
static int feed(const char *text, size_t len, size_t piece, bool head_only)
{
	int r = 0;

	buf_init(&body, 1 << 20);
	response_init(&response, head_only, keep, &body);
	for (size_t at = 0; at < len && r == 0; at += piece)
		r = response_feed(&response, text + at, len - at < piece ? len - at : piece, &error);
	if (r == 0)
		r = response_end(&response, &error);
	return r;
}

static void finish(void)
{
	response_finish(&response);
	buf_finish(&body);
}

static void expect(const char *text, int status, const char *content)
{
	for (size_t piece = 1; piece <= strlen(text); piece++) {
		assert_int_equal(feed(text, strlen(text), piece, false), 0);
		assert_int_equal(response.status, status);
		assert_string_equal(body.len ? body.data : "", content);
		finish();
	}
}

static void test_whole_answers(void **state)
{
	(void)state;
	expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello");
	expect("HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", 200, "");
	expect("HTTP/1.0 404 Not Found\nX: y\n\nuntil the end", 404, "until the end");
	expect("HTTP/1.1 204 No Content\r\n\r\nignored", 204, "");
	expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
	       "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n", 200, "abc0123456789");
	expect("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx",
	       201, "x");
	expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabmore", 200, "ab");
}

static void test_head(void **state)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n";

	(void)state;
	assert_int_equal(feed(text, sizeof text - 1, 7, true), 0);
	assert_true(response_done(&response));
	assert_string_equal(response.reason, "OK");
	finish();
}

static void test_refusals(void **state)
{
	static const char *const bad[] = {
		"", "HTTP/1.1 200 OK\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 20x OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ng\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		for (size_t piece = 1; piece <= strlen(bad[i]) + 1; piece++) {
			assert_int_equal(feed(bad[i], strlen(bad[i]), piece, false), -EBADMSG);
			finish();
		}
}

static void test_nul_in_head(void **state)
{
	static const char text[] = "HTTP/1.1 200 OK\0\r\n\r\n";

	(void)state;
	assert_int_equal(feed(text, sizeof text - 1, 64, false), -EBADMSG);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_answers),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_nul_in_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
