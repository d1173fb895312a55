#ifndef EASEL_COMMON_SETTINGS_H
#define EASEL_COMMON_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

/*
 * Values from the environment: EASEL_<NAME> wins over OLLAMA_<NAME>; blanks, then
 * quotes around a value are stripped; empty counts as unset. One row each in
 * settings.def (name, default, help), which help and man texts come from.
 */
struct setting {
	const char *name;               /* without prefix: "HOST" */
	const char *default_text;
	const char *help;
};
extern const struct setting settings[];         /* ends with name NULL */

/* The stripped value in a static-free copy the caller frees, or NULL when unset. */
char *settings_get(const char *name);
bool settings_bool(const char *name, bool fallback);            /* unparsable is true */
uint64_t settings_u64(const char *name, uint64_t fallback);     /* unparsable: fallback, warned */
/* Go duration or integer seconds, in ns; negative = for ever (INT64_MAX); unparsable: fallback. */
int64_t settings_duration_ns(const char *name, int64_t fallback);
/* $EASEL_MODELS, $OLLAMA_MODELS, else $HOME/.ollama/models; the caller frees. */
char *settings_models_dir(struct err *err);

/*
 * $EASEL_CACHE_DIR, else easel in $XDG_CACHE_HOME or in $HOME/.cache; the caller frees.
 * NULL where there is no home. The folder need not exist.
 */
char *settings_cache_dir(void);

/* What EASEL_HOST says. Strings are owned: host_finish(). */
struct host {
	bool tls;
	char *name;                     /* "127.0.0.1"; "" = all addresses */
	uint16_t port;
	char *prefix;                   /* path prefix, "" or "/x" */
};
int settings_host(const char *text, struct host *ret, struct err *err);        /* text NULL: the default */
void host_finish(struct host *h);

#endif
