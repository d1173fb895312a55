/*
 * host.c: every row of the host table, and what is refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/settings.h"

static void test_rows(void **unused)
{
	static const struct {
		const char *text;
		bool tls;
		const char *name;
		uint16_t port;
		const char *prefix;
	} rows[] = {
		{ NULL, false, "127.0.0.1", 11434, "" },
		{ "", false, "127.0.0.1", 11434, "" },
		{ "1.2.3.4", false, "1.2.3.4", 11434, "" },
		{ "example.com", false, "example.com", 11434, "" },
		{ "::1", false, "::1", 11434, "" },
		{ "[::1]", false, "::1", 11434, "" },
		{ ":1234", false, "", 1234, "" },
		{ ":0", false, "", 0, "" },
		{ "host:1234", false, "host", 1234, "" },
		{ "[::1]:1337", false, "::1", 1337, "" },
		{ "http://host", false, "host", 80, "" },
		{ "http://", false, "127.0.0.1", 80, "" },
		{ "https://host", true, "host", 443, "" },
		{ "https://host/prefix", true, "host", 443, "/prefix" },
		{ "https://host:8443/a/b//", true, "host", 8443, "/a/b" },
		{ "host/", false, "host", 11434, "" },
		{ "host:66000", false, "host", 11434, "" },
		{ "host:-1", false, "host", 11434, "" },
		{ "host:", false, "host", 11434, "" },
		{ "https://host:x", true, "host", 443, "" },
		{ "host:99999999999999999999", false, "host", 11434, "" },
		{ "[::1", false, "[::1", 11434, "" },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct host h;

		assert_int_equal(settings_host(rows[i].text, &h, NULL), 0);
		assert_int_equal(h.tls, rows[i].tls);
		assert_string_equal(h.name, rows[i].name);
		assert_int_equal(h.port, rows[i].port);
		assert_string_equal(h.prefix, rows[i].prefix);
		host_finish(&h);
	}
}

static void test_refused(void **unused)
{
	struct host h;
	struct err err;

	(void)unused;
	assert_int_equal(settings_host("ftp://host", &h, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows), cmocka_unit_test(test_refused) };

	log_open("test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
