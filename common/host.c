/*
 * The address of the server, as OLLAMA_HOST spells it. Pure functions.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/settings.h"

#define DEFAULT_NAME "127.0.0.1"

static const struct scheme {
	const char *text;
	bool tls;
	uint16_t port;
} schemes[] = {
	{ "http://", false, 80 },
	{ "https://", true, 443 },
};
static const struct scheme no_scheme = { "", false, 11434 };

static const struct scheme *find_scheme(const char *text)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++)
		if (!strncmp(text, schemes[i].text, strlen(schemes[i].text)))
			return &schemes[i];
	return strstr(text, "://") ? NULL : &no_scheme;
}

/*
 * Splits the len bytes of name[:port]; *port is NULL without one. More than one colon
 * outside of brackets is an IPv6 address without a port.
 */
static void split_port(const char **name, size_t *len, const char **port)
{
	const char *end = *name + *len, *bracket = memchr(*name, ']', *len), *colon;

	*port = NULL;
	if (**name == '[' && bracket) {
		if (bracket + 1 < end && bracket[1] == ':')
			*port = bracket + 2;
		++*name;
		*len = (size_t)(bracket - *name);
		return;
	}
	colon = memchr(*name, ':', *len);
	if (!colon || memchr(colon + 1, ':', (size_t)(end - colon - 1)))
		return;
	*port = colon + 1;
	*len = (size_t)(colon - *name);
}

static uint16_t parse_port(const char *text, const char *end, uint16_t fallback)
{
	unsigned port = 0;
	const char *p = text;

	for (; p < end && *p >= '0' && *p <= '9' && port <= UINT16_MAX; p++)
		port = 10 * port + (unsigned)(*p - '0');
	if (p == text || p < end || port > UINT16_MAX) {
		log_warn("invalid port \"%.*s\", using %u", (int)(end - text), text, fallback);
		return fallback;
	}
	return (uint16_t)port;
}

/* "/prefix/" -> "/prefix", "/" -> "". */
static char *copy_prefix(const char *text)
{
	size_t len = strlen(text);

	while (len && text[len - 1] == '/')
		len--;
	return strndup(text, len);
}

int settings_host(const char *text, struct host *ret, struct err *err)
{
	const struct scheme *scheme = find_scheme(text ? text : "");
	const char *name, *port = NULL;
	struct host host;
	size_t len;

	if (!scheme)
		return err_set(err, -EINVAL, "invalid host \"%.200s\": use http:// or https://", text);
	name = text ? text + strlen(scheme->text) : "";
	len = strcspn(name, "/");
	host.tls = scheme->tls;
	host.prefix = copy_prefix(name + len);
	host.port = scheme->port;
	if (!len) {
		host.name = strdup(DEFAULT_NAME);
	} else {
		const char *end = name + len;

		split_port(&name, &len, &port);
		host.name = strndup(name, len);
		if (port)
			host.port = parse_port(port, end, scheme->port);
	}
	if (!host.name || !host.prefix) {
		host_finish(&host);
		return err_set(err, -ENOMEM, "out of memory");
	}
	*ret = host;
	return 0;
}

void host_finish(struct host *h)
{
	free(h->name);
	free(h->prefix);
	*h = (struct host){ 0 };
}
