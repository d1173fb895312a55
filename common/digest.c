/*
 * SHA-256 by libcrypto's EVP. A struct digest owns its context; one thread each.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/digest.h"

enum { SHA256_BYTES = 32, PREFIX_BYTES = 7 };

struct digest {
	EVP_MD_CTX *context;
};

struct digest *digest_begin(void)
{
	struct digest *d = calloc(1, sizeof *d);

	if (!d)
		return NULL;
	d->context = EVP_MD_CTX_new();
	if (!d->context || EVP_DigestInit_ex(d->context, EVP_sha256(), NULL) != 1) {
		digest_abort(d);
		return NULL;
	}
	return d;
}

void digest_update(struct digest *d, const void *data, size_t len)
{
	EVP_DigestUpdate(d->context, data, len);
}

static void print(const unsigned char *bytes, char ret[DIGEST_SIZE])
{
	static const char hex[] = "0123456789abcdef";

	memcpy(ret, "sha256:", PREFIX_BYTES);
	for (size_t i = 0; i < SHA256_BYTES; i++) {
		ret[PREFIX_BYTES + 2 * i] = hex[bytes[i] >> 4];
		ret[PREFIX_BYTES + 2 * i + 1] = hex[bytes[i] & 15];
	}
	ret[PREFIX_BYTES + 2 * SHA256_BYTES] = '\0';
}

void digest_end(struct digest *d, char ret[DIGEST_SIZE])
{
	unsigned char bytes[EVP_MAX_MD_SIZE] = { 0 };

	EVP_DigestFinal_ex(d->context, bytes, NULL);
	print(bytes, ret);
	digest_abort(d);
}

void digest_abort(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->context);
	free(d);
}

void digest_bytes(const void *data, size_t len, char ret[DIGEST_SIZE])
{
	unsigned char bytes[EVP_MAX_MD_SIZE] = { 0 };

	EVP_Digest(data, len, bytes, NULL, EVP_sha256(), NULL);
	print(bytes, ret);
}

int digest_parse(const char *text, char ret[DIGEST_SIZE], struct err *err)
{
	size_t len = strlen(text);

	if (len != PREFIX_BYTES + 2 * SHA256_BYTES || memcmp(text, "sha256", 6) != 0 ||
	    (text[6] != ':' && text[6] != '-'))
		return err_set(err, -EINVAL, "invalid digest format");
	for (size_t i = PREFIX_BYTES; i < len; i++)
		if (!isxdigit((unsigned char)text[i]))
			return err_set(err, -EINVAL, "invalid digest format");
	memcpy(ret, "sha256:", PREFIX_BYTES);
	for (size_t i = PREFIX_BYTES; i <= len; i++)
		ret[i] = (char)tolower((unsigned char)text[i]);
	return 0;
}
