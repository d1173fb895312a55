/*
 * Fuzz: what registries answer. The first byte chooses: a challenge, a token, a manifest,
 * addresses and redirects, a time to wait, an error's body, or a digest in a header.
 */
#include <string.h>

#include "common/digest.h"
#include "gateway/transfer/challenge.h"
#include "gateway/transfer/image.h"
#include "gateway/transfer/retry.h"
#include "gateway/transfer/url.h"
#include "tests/fuzz/fuzz.h"

static void challenge(const char *text, size_t len)
{
	struct challenge c;
	char *url, host[300];
	struct err err;

	(void)len;
	if (challenge_parse(text, &c, &err) < 0)
		return;
	fuzz_require(c.realm && c.service && c.scope);
	url_host(c.realm, host, sizeof(host));
	url = challenge_token_url(&c, 1, "nonce");
	fuzz_require(!url || !strncmp(url, c.realm, strlen(c.realm)));
	free(url);
	challenge_clear(&c);
}

/* A token becomes a header line: nothing may end it early. */
static void token(const char *text, size_t len)
{
	struct err err;
	char *ret;

	if (challenge_read_token(text, len, &ret, &err) < 0)
		return;
	for (const char *c = ret; *c; c++)
		fuzz_require(*c > ' ' && *c <= '~');
	free(ret);
}

static void manifest(const char *text, size_t len)
{
	char digest[DIGEST_SIZE];
	uint64_t total = 0;
	struct image i;
	struct err err;

	if (image_parse(text, len, &i, &err) < 0)
		return;
	for (size_t k = 0; k < i.n_blobs; k++) {
		fuzz_require(digest_parse(i.blobs[k].digest, digest, NULL) == 0);
		fuzz_require(!k || (strcmp(i.blobs[k - 1].digest, i.blobs[k].digest) &&
				    i.blobs[k - 1].size >= i.blobs[k].size));
		total += i.blobs[k].size * i.blobs[k].copies;
	}
	fuzz_require(total == i.total && total < UINT64_C(1) << 41);
	image_clear(&i);
}

/* A location leads nowhere, or to http or https. */
static void location(const char *text, size_t len)
{
	char origin[URL_ORIGIN_SIZE];
	char *url = url_resolve("https://registry.example:5000/v2/a/b/blobs/x?y", text);
	struct err err;

	(void)len;
	if (url) {
		fuzz_require(url_origin(url, origin, &err) == 0);
		fuzz_require(!strncmp(origin, "http://", 7) || !strncmp(origin, "https://", 8));
	}
	free(url);
	free(url_encode(text));
}

static void wait(const char *text, size_t len)
{
	(void)len;
	fuzz_require(url_retry_after(text, 1000000000) >= -1);
}

/* Told to clients, cut. */
static void error_body(const char *text, size_t len)
{
	char shown[100];

	(void)len;
	retry_describe(404, text, shown, sizeof(shown));
	fuzz_require(strlen(shown) < sizeof(shown) && !strncmp(shown, "404: ", 5));
}

static void digest(const char *text, size_t len)
{
	char once[DIGEST_SIZE], twice[DIGEST_SIZE];

	(void)len;
	if (digest_parse(text, once, NULL) < 0)
		return;
	fuzz_require(strlen(once) == DIGEST_SIZE - 1 && !strchr(once, '/') && !strchr(once, '.'));
	fuzz_require(digest_parse(once, twice, NULL) == 0 && !strcmp(once, twice));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const readers[])(const char *text, size_t len) = {
		challenge, token, manifest, location, wait, error_body, digest,
	};
	char *text = len ? malloc(len) : NULL;

	if (!text)
		return 0;
	memcpy(text, data + 1, len - 1);
	text[len - 1] = '\0';
	readers[data[0] % (sizeof(readers) / sizeof(readers[0]))](text, len - 1);
	free(text);
	return 0;
}
