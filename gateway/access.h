#ifndef EASEL_GATEWAY_ACCESS_H
#define EASEL_GATEWAY_ACCESS_H

#include <stdbool.h>

#include "common/err.h"
#include "gateway/http.h"

/* Who may ask: Origin and Host rules of the API. */
struct access;

/* origins: OLLAMA_ORIGINS, a comma list, may be NULL. -EINVAL names a bad entry. */
int access_create(const char *origins, struct access **ret, struct err *err);
void access_destroy(struct access *a);
/* The Host header is only checked when the listening address is loopback. */
void access_check_host(struct access *a, bool on);

/* 0: go on, perhaps with CORS headers added; else the status of an empty answer. */
int access_check(const struct access *a, struct http_request *q);

#endif
