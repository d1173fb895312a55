/*
 * The user's key: read, made, used. Owns the EVP key; blocks on the disk for one small
 * file; runs on the event loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "common/base64.h"
#include "common/buf.h"
#include "common/file.h"
#include "gateway/transfer/key.h"

#define KEY_FILE_MAX (16u << 10)
#define ED25519_BYTES 32u
#define SIGNATURE_BYTES 64u
#define MAGIC "openssh-key-v1"
#define KIND "ssh-ed25519"
#define BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----"
#define END "-----END OPENSSH PRIVATE KEY-----"

struct key {
	EVP_PKEY *evp;
	char *public;
};

/* ---- the SSH wire format ---- */

struct cursor {
	const unsigned char *at;
	size_t left;
	bool failed;
};

static uint32_t take_u32(struct cursor *c)
{
	uint32_t value;

	if (c->left < 4) {
		c->failed = true;
		return 0;
	}
	value = (uint32_t)c->at[0] << 24 | (uint32_t)c->at[1] << 16 | (uint32_t)c->at[2] << 8 | c->at[3];
	c->at += 4;
	c->left -= 4;
	return value;
}

static struct cursor take_string(struct cursor *c)
{
	uint32_t len = take_u32(c);
	struct cursor ret = { .at = c->at, .left = len };

	if (c->failed || len > c->left) {
		c->failed = true;
		return (struct cursor){ .failed = true };
	}
	c->at += len;
	c->left -= len;
	return ret;
}

static bool is_text(const struct cursor *c, const char *text)
{
	return !c->failed && c->left == strlen(text) && !memcmp(c->at, text, c->left);
}

static void put_u32(struct buf *b, uint32_t value)
{
	unsigned char bytes[4] = { (unsigned char)(value >> 24), (unsigned char)(value >> 16),
				   (unsigned char)(value >> 8), (unsigned char)value };

	buf_append(b, bytes, 4);
}

static void put_string(struct buf *b, const void *data, size_t len)
{
	put_u32(b, (uint32_t)len);
	buf_append(b, data, len);
}

/* ---- reading ---- */

static char *encode(const void *data, size_t len)
{
	char *text = malloc(base64_size(len) + 1);

	if (text)
		text[base64_encode(data, len, text)] = '\0';
	return text;
}

/* The seed of an unencrypted key, and its public blob. */
static int parse(struct cursor c, struct key *k, const char *path, struct err *err)
{
	struct cursor cipher, kdf, public, private, kind, secret;

	if (c.left < sizeof(MAGIC) || memcmp(c.at, MAGIC, sizeof(MAGIC)))
		return err_set(err, -EBADMSG, "%s is no OpenSSH key", path);
	c.at += sizeof(MAGIC);
	c.left -= sizeof(MAGIC);
	cipher = take_string(&c);
	kdf = take_string(&c);
	take_string(&c);
	if (take_u32(&c) != 1 || !is_text(&cipher, "none") || !is_text(&kdf, "none"))
		return err_set(err, -EBADMSG, "%s: only one key without a passphrase can be used", path);
	public = take_string(&c);
	private = take_string(&c);
	if (take_u32(&private) != take_u32(&private))
		return err_set(err, -EBADMSG, "%s is damaged", path);
	kind = take_string(&private);
	take_string(&private);
	secret = take_string(&private);
	if (!is_text(&kind, KIND) || secret.failed || secret.left != 2 * ED25519_BYTES || public.failed)
		return err_set(err, -EBADMSG, "%s holds no Ed25519 key", path);
	k->evp = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret.at, ED25519_BYTES);
	k->public = encode(public.at, public.left);
	return k->evp && k->public ? 0 : err_set(err, -ENOMEM, "cannot use the key %s", path);
}

static int decode(const char *text, const char *path, struct key *k, struct err *err)
{
	const char *begin = strstr(text, BEGIN), *end = begin ? strstr(begin, END) : NULL;
	unsigned char *bytes;
	size_t len;
	int r;

	if (!end)
		return err_set(err, -EBADMSG, "%s is no OpenSSH key", path);
	begin += strlen(BEGIN);
	r = base64_decode(begin, (size_t)(end - begin), &bytes, &len, err);
	if (r < 0)
		return err_prefix(err, "%s", path);
	r = parse((struct cursor){ .at = bytes, .left = len }, k, path, err);
	OPENSSL_cleanse(bytes, len);
	free(bytes);
	return r;
}

int key_load(const char *path, struct key **ret, struct err *err)
{
	struct key *k;
	size_t len;
	char *text;
	int r = file_load(path, KEY_FILE_MAX, &text, &len, err);

	if (r < 0)
		return r;
	k = calloc(1, sizeof(*k));
	r = k ? decode(text, path, k, err) : err_set(err, -ENOMEM, "out of memory");
	OPENSSL_cleanse(text, len);
	free(text);
	if (r < 0) {
		key_free(k);
		return r;
	}
	*ret = k;
	return 0;
}

void key_free(struct key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->evp);
	free(k->public);
	free(k);
}

/* ---- making one ---- */

static void put_public(struct buf *b, const unsigned char *public)
{
	put_string(b, KIND, strlen(KIND));
	put_string(b, public, ED25519_BYTES);
}

static void put_private(struct buf *b, const unsigned char *seed, const unsigned char *public, uint32_t check)
{
	put_u32(b, check);
	put_u32(b, check);
	put_public(b, public);
	put_u32(b, 2 * ED25519_BYTES);
	buf_append(b, seed, ED25519_BYTES);
	buf_append(b, public, ED25519_BYTES);
	put_string(b, "", 0);
	for (unsigned char i = 1; b->len % 8; i++)
		buf_append(b, &i, 1);
}

static char *print_private(const unsigned char *seed, const unsigned char *public, uint32_t check)
{
	struct buf blob = BUF_INIT(KEY_FILE_MAX), part = BUF_INIT(KEY_FILE_MAX), text = BUF_INIT(KEY_FILE_MAX);
	char *lines;

	buf_append(&blob, MAGIC, sizeof(MAGIC));
	put_string(&blob, "none", 4);
	put_string(&blob, "none", 4);
	put_string(&blob, "", 0);
	put_u32(&blob, 1);
	put_public(&part, public);
	put_string(&blob, part.data, part.len);
	buf_finish(&part);
	buf_init(&part, KEY_FILE_MAX);
	put_private(&part, seed, public, check);
	put_string(&blob, part.data, part.len);
	lines = buf_failed(&blob) ? NULL : encode(blob.data, blob.len);
	buf_puts(&text, BEGIN "\n");
	for (const char *at = lines; at && *at; at += strnlen(at, 70))
		buf_printf(&text, "%.70s\n", at);
	buf_puts(&text, END "\n");
	if (!lines)
		text.failed = true;
	free(lines);
	buf_finish(&part);
	buf_finish(&blob);
	return buf_take(&text, NULL);
}

static char *print_public(const unsigned char *public)
{
	struct buf blob = BUF_INIT(KEY_FILE_MAX);
	char *text, *ret = NULL;

	put_public(&blob, public);
	text = buf_failed(&blob) ? NULL : encode(blob.data, blob.len);
	if (text && asprintf(&ret, KIND " %s\n", text) < 0)
		ret = NULL;
	free(text);
	buf_finish(&blob);
	return ret;
}

static int write_new(const char *path, const char *suffix, mode_t mode, const char *text, struct err *err)
{
	char name[4096];
	int fd, r;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	if (!text)
		return err_set(err, -ENOMEM, "out of memory");
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return err_errno(err, errno, "create %s", name);
	r = file_write_all(fd, name, text, strlen(text), err);
	if (r == 0 && fsync(fd) < 0)
		r = err_errno(err, errno, "write %s", name);
	close(fd);
	return r;
}

int key_create(const char *path, struct err *err)
{
	unsigned char seed[ED25519_BYTES], public[ED25519_BYTES];
	size_t len = sizeof(public);
	uint32_t check = 0;
	EVP_PKEY *evp = NULL;
	char *text = NULL;
	int r = -EIO;

	if (getrandom(seed, sizeof(seed), 0) == sizeof(seed) &&
	    getrandom(&check, sizeof(check), 0) == sizeof(check))
		evp = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
	if (!evp || EVP_PKEY_get_raw_public_key(evp, public, &len) != 1)
		err_set(err, r, "cannot make a key");
	else
		r = dir_make_parent(path, err);
	if (r == 0) {
		text = print_private(seed, public, check);
		r = write_new(path, "", 0600, text, err);
		free(text);
	}
	if (r == 0) {
		text = print_public(public);
		r = write_new(path, ".pub", 0644, text, err);
		free(text);
	}
	OPENSSL_cleanse(seed, sizeof(seed));
	EVP_PKEY_free(evp);
	return r;
}

/* ---- using it ---- */

char *key_sign(const struct key *k, const char *text)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char signature[SIGNATURE_BYTES];
	size_t len = sizeof(signature);
	char *base64 = NULL, *ret = NULL;

	if (context && EVP_DigestSignInit(context, NULL, NULL, NULL, k->evp) == 1 &&
	    EVP_DigestSign(context, signature, &len, (const unsigned char *)text, strlen(text)) == 1)
		base64 = encode(signature, len);
	if (base64 && asprintf(&ret, "%s:%s", k->public, base64) < 0)
		ret = NULL;
	free(base64);
	EVP_MD_CTX_free(context);
	return ret;
}

const char *key_public(const struct key *k)
{
	return k->public;
}

int key_nonce(char ret[32], struct err *err)
{
	unsigned char bytes[16];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return err_errno(err, errno, "no random number");
	ret[base64_encode(bytes, sizeof(bytes), ret)] = '\0';
	for (char *c = ret; *c; c++)
		*c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c == '=' ? '\0' : *c);
	ret[22] = '\0';
	return 0;
}
