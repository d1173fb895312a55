#ifndef EASEL_GATEWAY_TRANSFER_CHALLENGE_H
#define EASEL_GATEWAY_TRANSFER_CHALLENGE_H

#include "common/err.h"

/* What a 401 asks for: "Bearer realm=...,service=...,scope=..." or "Basic ...". */
enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
	enum challenge_scheme scheme;
	char *realm, *service, *scope;  /* "" when not said */
};

/* -EINVAL for a header that is none. Values are quoted or bare. NULL: scheme NONE. */
int challenge_parse(const char *header, struct challenge *ret, struct err *err);
void challenge_clear(struct challenge *c);

/*
 * The address at which a token is to be had: the realm with service, a scope each, and,
 * where nonce is not NULL, ts and nonce; sorted by key. NULL without memory.
 */
char *challenge_token_url(const struct challenge *c, long long ts, const char *nonce);
/* {"token"} or {"access_token"}; -EBADMSG. The caller frees. */
int challenge_read_token(const char *body, size_t len, char **ret, struct err *err);

#endif
