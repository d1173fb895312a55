#ifndef EASEL_GATEWAY_TRANSFER_SITES_H
#define EASEL_GATEWAY_TRANSFER_SITES_H

#include <jansson.h>
#include <stdbool.h>

#include "common/err.h"

/*
 * What the user has said about registries, one JSON object a host (docs/REGISTRIES.md).
 * Strings belong to the document.
 */
struct site {
	const char *username, *password;        /* NULL: none */
	bool plain;                     /* plain HTTP may be used wherever the host is */
	bool ollama;                    /* speaks the public registry's dialect */
	const json_t *token_hosts;      /* further hosts that may give tokens; array or NULL */
};

/* $EASEL_REGISTRIES, else registries.json in easel's config folder; none is an empty object. */
int sites_load(json_t **ret, struct err *err);
/* Everything false and NULL for a host that nothing is said about. */
void sites_find(const json_t *sites, const char *host, struct site *ret);
bool site_trusts(const struct site *s, const char *token_host);

#endif
