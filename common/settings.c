/*
 * Settings from the environment. Owns the table of their names and help texts; any
 * thread as long as nobody changes the environment.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/settings.h"
#include "common/timefmt.h"

const struct setting settings[] = {
#define SETTING(name, default_text, help) { name, default_text, help },
#include "common/settings.def"
#undef SETTING
	{ 0 }
};

/* Cuts characters of a set off both ends. */
static void trim(const char **text, size_t *len, const char *set)
{
	while (*len && strchr(set, (*text)[*len - 1]))
		--*len;
	while (*len && strchr(set, **text)) {
		++*text;
		--*len;
	}
}

/* The stripped value of one variable, or NULL. */
static char *get(const char *prefix, const char *name)
{
	char variable[64];
	const char *text;
	size_t len;

	snprintf(variable, sizeof(variable), "%s%s", prefix, name);
	text = getenv(variable);
	if (!text)
		return NULL;
	len = strlen(text);
	trim(&text, &len, " \t\r\n\v\f");
	trim(&text, &len, "\"'");
	return len ? strndup(text, len) : NULL;
}

char *settings_get(const char *name)
{
	char *value = get("EASEL_", name);

	return value ? value : get("OLLAMA_", name);
}

bool settings_bool(const char *name, bool fallback)
{
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
	char *value = settings_get(name);
	bool ret = true;

	if (!value)
		return fallback;
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
		if (!strcmp(value, no[i]))
			ret = false;
	free(value);
	return ret;
}

uint64_t settings_u64(const char *name, uint64_t fallback)
{
	char *value = settings_get(name), *end;
	uint64_t ret = fallback;

	if (!value)
		return fallback;
	errno = 0;
	ret = strtoull(value, &end, 10);
	if (errno || *end || !isdigit((unsigned char)*value)) {
		log_warn("invalid %s \"%s\", using %" PRIu64, name, value, fallback);
		ret = fallback;
	}
	free(value);
	return ret;
}

/* Integer seconds; false when text is none. */
static bool parse_seconds(const char *text, int64_t *ret_ns)
{
	char *end;

	errno = 0;
	*ret_ns = strtoll(text, &end, 10);
	if (errno || *end || isspace((unsigned char)*text))
		return false;
	return !__builtin_mul_overflow(*ret_ns, INT64_C(1000000000), ret_ns);
}

int64_t settings_duration_ns(const char *name, int64_t fallback)
{
	char *value = settings_get(name);
	int64_t ns = fallback;

	if (!value)
		return fallback;
	if (!parse_seconds(value, &ns) && duration_parse(value, &ns, NULL) < 0) {
		log_warn("invalid %s \"%s\", using the default", name, value);
		ns = fallback;
	}
	free(value);
	return ns < 0 ? DURATION_FOREVER : ns;
}

static char *join(const char *a, const char *b)
{
	char *path;

	return asprintf(&path, "%s%s", a, b) < 0 ? NULL : path;
}

char *settings_cache_dir(void)
{
	char *value = settings_get("CACHE_DIR");
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (value)
		return value;
	/* A relative path there is invalid and to be ignored, says its specification. */
	if (xdg && *xdg == '/')
		return join(xdg, "/easel");
	return home && *home ? join(home, "/.cache/easel") : NULL;
}

char *settings_models_dir(struct err *err)
{
	char *value = settings_get("MODELS"), *ret;
	const char *home = getenv("HOME");

	if (value)
		return value;
	if (!home || !*home) {
		err_set(err, -EINVAL, "no models directory: set EASEL_MODELS or HOME");
		return NULL;
	}
	if (asprintf(&ret, "%s/.ollama/models", home) < 0) {
		err_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	return ret;
}
