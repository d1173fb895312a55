#ifndef EASEL_GATEWAY_TRANSFER_KEY_H
#define EASEL_GATEWAY_TRANSFER_KEY_H

#include <stdbool.h>

#include "common/err.h"

/* The user's Ed25519 key, in OpenSSH's format without a passphrase, as the reference keeps it. */
struct key;

/* -ENOENT: there is none. */
int key_load(const char *path, struct key **ret, struct err *err);
/* A new one: path, mode 0600, and path.pub. */
int key_create(const char *path, struct err *err);
void key_free(struct key *k);           /* NULL is fine */
/* "<public key>:<signature>", both base64; the caller frees. NULL without memory. */
char *key_sign(const struct key *k, const char *text);
const char *key_public(const struct key *k);    /* base64 of the SSH blob */
/* 16 random bytes, base64url without padding. */
int key_nonce(char ret[32], struct err *err);

#endif
