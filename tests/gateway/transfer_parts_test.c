/* The pure parts of transfers: challenges, addresses, waits, manifests, keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/transfer/challenge.h"
#include "gateway/transfer/image.h"
#include "gateway/transfer/key.h"
#include "gateway/transfer/retry.h"
#include "gateway/transfer/sites.h"
#include "gateway/transfer/url.h"

static void test_challenges(void **state)
{
	static const struct {
		const char *header;
		enum challenge_scheme scheme;
		const char *realm, *service, *scope;
	} rows[] = {
		{ "Bearer realm=\"https://a/t\",service=\"s\",scope=\"x y\"", CHALLENGE_BEARER, "https://a/t", "s", "x y" },
		{ "bearer realm=https://a/t , service=s", CHALLENGE_BEARER, "https://a/t", "s", "" },
		{ "Bearer scope=\"a,b\", realm=\"q\\\"r\"", CHALLENGE_BEARER, "q\"r", "", "a,b" },
		{ "Bearer realm=\"a\",realm=\"b\"", CHALLENGE_BEARER, "a", "", "" },
		{ "Bearer realm=\"cut", CHALLENGE_BEARER, "cut", "", "" },
		{ "Basic realm=\"x\"", CHALLENGE_BASIC, "x", "", "" },
		{ "Negotiate abc", CHALLENGE_NONE, "", "", "" },
		{ "", CHALLENGE_NONE, "", "", "" },
		{ NULL, CHALLENGE_NONE, "", "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct challenge c;

		assert_int_equal(challenge_parse(rows[i].header, &c, NULL), 0);
		assert_int_equal(c.scheme, rows[i].scheme);
		assert_string_equal(c.realm, rows[i].realm);
		assert_string_equal(c.service, rows[i].service);
		assert_string_equal(c.scope, rows[i].scope);
		challenge_clear(&c);
	}
}

static void test_token_address(void **state)
{
	struct challenge c;
	char *url;

	(void)state;
	assert_int_equal(challenge_parse("Bearer realm=\"https://h/t\",service=\"a b\",scope=\"r:x/y:pull,push r:z:pull\"",
					 &c, NULL), 0);
	url = challenge_token_url(&c, 17, "N-_");
	assert_string_equal(url, "https://h/t?nonce=N-_&scope=r%3Ax%2Fy%3Apull%2Cpush&scope=r%3Az%3Apull&service=a+b&ts=17");
	free(url);
	url = challenge_token_url(&c, 0, NULL);
	assert_string_equal(url, "https://h/t?scope=r%3Ax%2Fy%3Apull%2Cpush&scope=r%3Az%3Apull&service=a+b");
	free(url);
	challenge_clear(&c);
}

static void test_addresses(void **state)
{
	static const struct { const char *location, *to; } rows[] = {
		{ "/a/b?c=%2F", "https://h:5/a/b?c=%2F" }, { "z", "https://h:5/v2/z" },
		{ "http://O/x%20y/../%2f", "http://O/x%20y/../%2f" }, { "//o/x", "https://o/x" },
		{ "ftp://o/x", NULL }, { "file:///x", NULL }, { "http://", NULL },
	};
	char origin[URL_ORIGIN_SIZE], host[64];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *to = url_resolve("https://h:5/v2/b", rows[i].location);

		if (rows[i].to)
			assert_string_equal(to, rows[i].to);
		else
			assert_null(to);
		free(to);
	}
	assert_int_equal(url_origin("HTTPS://Host/x", origin, NULL), 0);
	assert_string_equal(origin, "https://host:443");
	assert_true(url_origin("gopher://h/", origin, NULL) < 0);
	url_host("http://u:p@h:7/x", host, sizeof(host));
	assert_string_equal(host, "h:7");
	url_host("/x", host, sizeof(host));
	assert_string_equal(host, "");
}

static void test_places(void **state)
{
	static const struct { const char *url, *host; } rows[] = {
		{ "https://Host/x", "host" }, { "http://u:p@h:7/x", "h" }, { "http://[::1]:8/", "::1" },
		{ "http://0x7f.1/", "127.0.0.1" }, { "https://2130706433:5/", "127.0.0.1" }, { "/x", "" },
	};
	static const struct { const char *host, *list; bool is; } listed[] = {
		{ "h.example", "h.example", true }, { "a.h.example", "x, .H.example", true }, { "ah.example", "h.example", false },
		{ "h", "", false }, { "h", "*", true }, { "h", "a *,b", true }, { "10.1.2.3", "10.0.0.0/8", true },
		{ "10.1.2.3", "10.1.2.2/31", true }, { "10.1.2.4", "10.1.2.2/31", false }, { "10.1.2.3", "0.0.0.0/0", true },
		{ "10.1.2.3", "10.1.2.3", true }, { "10.1.2.3", "10.1.2.3/33", false }, { "10.1.2.3", "10.1.2.3/", false },
		{ "10.1.2.3", "10.1.2.3/x", false }, { "10.1.2.3", "10.1.2.3/-1", false }, { "::1", "[::1]", true },
		{ "fd00::5", "fd00::/8", true }, { "fe00::5", "fd00::/8", false }, { "::1", "::/129", false },
		{ "2001:db8::1", "2001:DB8:0::1", true }, { "10.1.2.3", "::/0", false }, { "h", "[]", false }, { "h", ".", false },
	};
	char host[URL_HOST_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		url_place(rows[i].url, host);
		assert_string_equal(host, rows[i].host);
	}
	for (size_t i = 0; i < sizeof(listed) / sizeof(listed[0]); i++)
		assert_int_equal(url_host_is_listed(listed[i].host, listed[i].list), listed[i].is);
}

static void test_waits(void **state)
{
	(void)state;
	assert_int_equal(retry_wait_ns(1000, 0, 0.5, -1), 1000);
	assert_int_equal(retry_wait_ns(1000, 3, 0.5, -1), 8000);
	assert_int_equal(retry_wait_ns(1000, 3, 0, -1), 4000);
	assert_int_equal(retry_wait_ns(1000, 30, 0.5, -1), 60000);
	assert_int_equal(retry_wait_ns(1000, 0, 0.5, 2), 2000000000);
	assert_int_equal(retry_wait_ns(1000, 0, 0.5, 100000), 120000000000);
	assert_int_equal(url_retry_after("120", 0), 120);
	assert_int_equal(url_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 1445412470), 10);
	assert_int_equal(url_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 1445412490), 0);
	assert_int_equal(url_retry_after("soon", 0), -1);
	assert_int_equal(url_retry_after(NULL, 0), -1);
	assert_true(retry_is_final(404) && retry_is_final(403) && retry_is_final(401));
	assert_false(retry_is_final(429) || retry_is_final(500) || retry_is_final(503) || retry_is_final(408));
}

#define DIGEST(c) "sha256:" c c c c c c c c
#define EIGHT_A "aaaaaaaa"
#define EIGHT_B "bbbbbbbb"

static void test_images(void **state)
{
	static const char text[] =
		"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"c\",\"digest\":\"" DIGEST(EIGHT_A) "\",\"size\":5},"
		"\"layers\":[{\"mediaType\":\"t\",\"digest\":\"" DIGEST(EIGHT_B) "\",\"size\":7,\"name\":\"a\"},"
		"{\"mediaType\":\"t\",\"digest\":\"" DIGEST(EIGHT_B) "\",\"size\":7,\"name\":\"b\"}]}";
	struct image i;

	(void)state;
	assert_int_equal(image_parse(text, strlen(text), &i, NULL), 0);
	assert_int_equal(i.n_blobs, 2);
	assert_int_equal(i.total, 19);
	assert_string_equal(i.blobs[0].digest, DIGEST(EIGHT_B));
	assert_int_equal(i.blobs[0].copies, 2);
	assert_int_equal(i.blobs[1].copies, 1);
	image_clear(&i);
}

static void test_keys(void **state)
{
	char folder[] = "/tmp/easel-key-XXXXXX", path[64], name[80], nonce[32], *signature;
	struct key *key;
	struct err err;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/id", folder);
	snprintf(name, sizeof(name), "%s.pub", path);
	assert_int_equal(key_load(path, &key, &err), -2);
	assert_int_equal(key_create(path, &err), 0);
	assert_true(key_create(path, &err) < 0);        /* never over another */
	assert_int_equal(key_load(path, &key, &err), 0);
	signature = key_sign(key, "text");
	assert_int_equal(strcspn(signature, ":"), strlen(key_public(key)));
	assert_int_equal(strlen(strchr(signature, ':')), 1 + 88);
	free(signature);
	key_free(key);
	assert_int_equal(key_nonce(nonce, &err), 0);
	assert_int_equal(strlen(nonce), 22);
	unlink(path);
	unlink(name);
	rmdir(folder);
}

static void test_sites(void **state)
{
	json_t *sites = json_pack("{s:{s:s, s:s, s:b, s:[s]}}", "h:5000", "username", "u", "password", "p", "plain", 1,
				  "token_hosts", "auth:1");
	struct site s;

	(void)state;
	sites_find(sites, "h:5000", &s);
	assert_string_equal(s.username, "u");
	assert_true(s.plain && !s.ollama && site_trusts(&s, "AUTH:1") && !site_trusts(&s, "auth"));
	sites_find(sites, "h", &s);
	assert_true(!s.username && !s.plain && !site_trusts(&s, "auth:1"));
	sites_find(sites, "registry.ollama.ai:443", &s);
	assert_true(s.ollama);
	sites_find(sites, "notollama.ai", &s);
	assert_false(s.ollama);
	json_decref(sites);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_challenges), cmocka_unit_test(test_token_address),
		cmocka_unit_test(test_addresses), cmocka_unit_test(test_places), cmocka_unit_test(test_waits),
		cmocka_unit_test(test_images),
		cmocka_unit_test(test_keys), cmocka_unit_test(test_sites),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
