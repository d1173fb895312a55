/*
 * Settings from the environment. Owns nothing but the constant table; any thread that
 * does not change the environment.
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

enum { DEFAULT_PORT = 11434 };

const struct setting settings[] = {
#define SETTING(name_, default_, help_) { #name_, default_, help_ },
#include "common/settings.def"
#undef SETTING
	{ 0 }
};

/* Without blanks around it, then without quotes; the caller frees. */
static char *stripped(const char *text)
{
	size_t len;

	text += strspn(text, " \t\r\n");
	len = strlen(text);
	while (len && isspace((unsigned char)text[len - 1]))
		len--;
	while (len && (*text == '"' || *text == '\'')) {
		text++;
		len--;
	}
	while (len && (text[len - 1] == '"' || text[len - 1] == '\''))
		len--;
	return strndup(text, len);
}

static char *from_environment(const char *prefix, const char *name)
{
	char variable[128];
	const char *value;
	char *text;

	snprintf(variable, sizeof variable, "%s%s", prefix, name);
	value = getenv(variable);
	text = value ? stripped(value) : NULL;
	if (text && !*text) {
		free(text);
		return NULL;
	}
	return text;
}

char *settings_get(const char *name)
{
	char *text = from_environment("EASEL_", name);

	return text ? text : from_environment("OLLAMA_", name);
}

static bool one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(text, *words))
			return true;
	return false;
}

bool settings_bool(const char *name, bool fallback)
{
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False", NULL };
	char *text = settings_get(name);
	bool value = text ? !one_of(text, no) : fallback;

	free(text);
	return value;
}

uint64_t settings_u64(const char *name, uint64_t fallback)
{
	char *text = settings_get(name), *end;
	uint64_t value = fallback;

	if (text) {
		errno = 0;
		value = strtoull(text, &end, 10);
		if (errno || *end || !isdigit((unsigned char)*text)) {
			/* DEBUG is a word as often as a number. */
			if (strcmp(name, "DEBUG") != 0)
				log_warn("%s=\"%s\" is no number, using %" PRIu64, name, text, fallback);
			value = fallback;
		}
	}
	free(text);
	return value;
}

int64_t settings_duration_ns(const char *name, int64_t fallback)
{
	char *text = settings_get(name), *end;
	int64_t value = fallback;

	if (text && duration_parse(text, &value, NULL) < 0) {
		long long seconds;

		errno = 0;
		seconds = strtoll(text, &end, 10);
		if (errno || *end || end == text)
			value = fallback;
		else
			value = seconds > INT64_MAX / 1000000000 ? INT64_MAX : seconds * 1000000000;
	}
	free(text);
	return value < 0 ? DURATION_FOREVER : value;
}

char *settings_models_dir(struct err *err)
{
	char *text = settings_get("MODELS"), *path = NULL;
	const char *home = getenv("HOME");

	if (text)
		return text;
	if (!home || !*home)
		err_set(err, -ENOENT, "HOME is not set: set EASEL_MODELS to the folder of the models");
	else if (asprintf(&path, "%s/.ollama/models", home) < 0) {
		path = NULL;
		err_set(err, -ENOMEM, "out of memory");
	}
	return path;
}

/* Cuts "scheme://" off; *ret_port is the scheme's default port. */
static const char *parse_scheme(const char *text, bool *ret_tls, uint16_t *ret_port)
{
	*ret_tls = false;
	*ret_port = DEFAULT_PORT;
	if (!strncmp(text, "http://", 7)) {
		*ret_port = 80;
		return text + 7;
	}
	if (!strncmp(text, "https://", 8)) {
		*ret_tls = true;
		*ret_port = 443;
		return text + 8;
	}
	return text;
}

/* Length of the host part at text and where the port begins, NULL without one. */
static size_t split_port(const char *text, size_t len, const char **ret_port)
{
	const char *bracket = memchr(text, ']', len), *colon = memrchr(text, ':', len);

	*ret_port = NULL;
	/* A bare IPv6 address has colons of its own. */
	if (!colon || (bracket && colon < bracket) || (!bracket && memchr(text, ':', (size_t)(colon - text))))
		return len;
	*ret_port = colon + 1;
	return (size_t)(colon - text);
}

static uint16_t parse_port(const char *text, size_t len, uint16_t fallback)
{
	char digits[8] = "";
	char *end;
	unsigned long port;

	if (len && len < sizeof digits)
		memcpy(digits, text, len);
	port = strtoul(digits, &end, 10);
	if (*end || !isdigit((unsigned char)digits[0]) || port > 65535) {
		log_warn("invalid port \"%.*s\", using %u", (int)len, text, fallback);
		return fallback;
	}
	return (uint16_t)port;
}

int settings_host(const char *text, struct host *ret, struct err *err)
{
	const char *port, *slash;
	size_t len, host_len;

	text = parse_scheme(text ? text : "", &ret->tls, &ret->port);
	slash = strchrnul(text, '/');
	len = (size_t)(slash - text);
	host_len = split_port(text, len, &port);
	if (port)
		ret->port = parse_port(port, (size_t)(slash - port), ret->port);
	if (host_len >= 2 && text[0] == '[' && text[host_len - 1] == ']') {
		text++;
		host_len -= 2;
	}
	ret->name = !len ? strdup("127.0.0.1") : strndup(text, host_len);
	while (slash[0] == '/' && slash[1] == '/')
		slash++;
	ret->prefix = strdup(strcmp(slash, "/") ? slash : "");
	if (ret->name && ret->prefix)
		return 0;
	host_finish(ret);
	return err_set(err, -ENOMEM, "out of memory");
}

void host_finish(struct host *h)
{
	free(h->name);
	free(h->prefix);
	h->name = h->prefix = NULL;
}
