/*
 * CORS and Host checks, before any route is looked at: a page in a browser must not be
 * able to talk to a server on the visitor's machine unless its origin is listed.
 * Owns the list of origins; runs on the event loop.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/text.h"
#include "gateway/access.h"
#include "gateway/address.h"

#define ORIGINS_MAX 256

struct access {
	char *text;                             /* the user's list, cut at its commas */
	const char *origins[ORIGINS_MAX];
	size_t n_origins;
	bool all;                               /* "*" is listed */
	bool check_host;
};

static const char *const built_in[] = {
	"http://localhost", "https://localhost", "http://localhost:*", "https://localhost:*",
	"http://127.0.0.1", "https://127.0.0.1", "http://127.0.0.1:*", "https://127.0.0.1:*",
	"http://0.0.0.0", "https://0.0.0.0", "http://0.0.0.0:*", "https://0.0.0.0:*",
	"app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*",
};

static const char preflight_headers[] =
	"Authorization,Content-Type,User-Agent,Accept,X-Requested-With,OpenAI-Beta,"
	"X-Stainless-Arch,X-Stainless-Async,X-Stainless-Custom-Poll-Interval,"
	"X-Stainless-Helper-Method,X-Stainless-Lang,X-Stainless-Os,"
	"X-Stainless-Package-Version,X-Stainless-Poll-Helper,X-Stainless-Retry-Count,"
	"X-Stainless-Runtime,X-Stainless-Runtime-Version,X-Stainless-Timeout";

static bool listable(const char *origin)
{
	static const char *const schemes[] = {
		"http://", "https://", "chrome-extension://", "safari-extension://",
		"safari-web-extension://", "moz-extension://", "ms-browser-extension://",
	};

	if (strchr(origin, '*') || !strcmp(origin, "null"))
		return true;
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (!strncmp(origin, schemes[i], strlen(schemes[i])))
			return true;
	return false;
}

static char *trim(char *text)
{
	size_t len;

	while (isspace((unsigned char)*text))
		text++;
	len = strlen(text);
	while (len && isspace((unsigned char)text[len - 1]))
		text[--len] = '\0';
	return text;
}

static int add_origin(struct access *a, const char *origin, struct err *err)
{
	if (!*origin)
		return 0;
	if (!listable(origin))
		return err_set(err, -EINVAL, "OLLAMA_ORIGINS: \"%s\" needs a scheme such as "
			       "http:// or a *", origin);
	if (a->n_origins == ORIGINS_MAX)
		return err_set(err, -EINVAL, "OLLAMA_ORIGINS: more than %d entries", ORIGINS_MAX);
	if (!strcmp(origin, "*"))
		a->all = true;
	a->origins[a->n_origins++] = origin;
	return 0;
}

static int add_user_origins(struct access *a, const char *origins, struct err *err)
{
	char *rest, *entry;

	a->text = strdup(origins);
	if (!a->text)
		return err_set(err, -ENOMEM, "out of memory");
	rest = a->text;
	while ((entry = strsep(&rest, ","))) {
		int r = add_origin(a, trim(entry), err);

		if (r < 0)
			return r;
	}
	return 0;
}

int access_create(const char *origins, struct access **ret, struct err *err)
{
	struct access *a = calloc(1, sizeof(*a));
	int r = 0;

	if (!a)
		return err_set(err, -ENOMEM, "out of memory");
	if (origins)
		r = add_user_origins(a, origins, err);
	for (size_t i = 0; i < sizeof(built_in) / sizeof(built_in[0]) && r == 0; i++)
		r = add_origin(a, built_in[i], err);
	if (r < 0) {
		access_destroy(a);
		return r;
	}
	*ret = a;
	return 0;
}

void access_destroy(struct access *a)
{
	if (!a)
		return;
	free(a->text);
	free(a);
}

void access_check_host(struct access *a, bool on)
{
	a->check_host = on;
}

static bool all_digits(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && isdigit((unsigned char)text[n]))
		n++;
	return n == len && len > 0;
}

/* One * matches any text; after a host's colon it is a port, so digits only. */
static bool matches(const char *pattern, const char *origin)
{
	const char *star = strchr(pattern, '*');
	size_t before, after, len = strlen(origin);

	if (!star)
		return !strcmp(pattern, origin);
	before = (size_t)(star - pattern);
	after = strlen(star + 1);
	if (len < before + after || strncmp(pattern, origin, before) ||
	    strcmp(origin + len - after, star + 1))
		return false;
	if (before && pattern[before - 1] == ':' && !after)
		return all_digits(origin + before, len - before);
	return true;
}

static bool origin_allowed(const struct access *a, const char *origin)
{
	if (a->all)
		return true;
	for (size_t i = 0; i < a->n_origins; i++)
		if (matches(a->origins[i], origin))
			return true;
	return false;
}

/* The host of "host:port", "[::1]:port" or a bare "::1", without brackets. */
static void cut_port(const char *host, char *ret, size_t size)
{
	const char *end = strrchr(host, ':');

	if (host[0] == '[') {
		const char *close = strchr(host, ']');

		snprintf(ret, size, "%.*s", close ? (int)(close - host - 1) : 0, host + 1);
		return;
	}
	if (end && strchr(host, ':') != end)
		end = NULL;
	snprintf(ret, size, "%.*s", end ? (int)(end - host) : (int)strlen(host), host);
}

static bool is_this_machine(const char *name)
{
	char own[256];

	if (gethostname(own, sizeof(own)) < 0)
		return false;
	own[sizeof(own) - 1] = '\0';
	return !strcasecmp(own, name);
}

static bool host_allowed(const char *header)
{
	char host[256];

	cut_port(header, host, sizeof(host));
	return !host[0] || !strcasecmp(host, "localhost") || text_ends_with(host, ".localhost") ||
	       text_ends_with(host, ".local") || text_ends_with(host, ".internal") ||
	       is_this_machine(host) || address_is_private(host) || address_is_own(host);
}

static bool host_is_name(const char *header)
{
	char host[256];

	cut_port(header, host, sizeof(host));
	return !address_is_private(host) && !address_is_own(host);
}

static bool same_origin(const char *origin, const char *host)
{
	const char *at = !strncmp(origin, "http://", 7) ? origin + 7 :
			 !strncmp(origin, "https://", 8) ? origin + 8 : NULL;

	return at && !strcmp(at, host);
}

static void add_preflight(const struct access *a, struct http_request *q, const char *origin)
{
	http_add_header(q, "Access-Control-Allow-Methods",
			"GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS");
	http_add_header(q, "Access-Control-Allow-Headers", preflight_headers);
	http_add_header(q, "Access-Control-Max-Age", "43200");
	http_add_header(q, "Access-Control-Allow-Origin", a->all ? "*" : origin);
	http_add_header(q, "Vary", "Origin, Access-Control-Request-Method, "
			"Access-Control-Request-Headers");
}

static int check_origin(const struct access *a, struct http_request *q, const char *host)
{
	const char *origin = http_header(q, "Origin");

	if (!origin || !*origin || same_origin(origin, host))
		return 0;
	if (!origin_allowed(a, origin))
		return 403;
	if (!strcmp(q->method, "OPTIONS")) {
		add_preflight(a, q, origin);
		return 204;
	}
	http_add_header(q, "Access-Control-Allow-Origin", a->all ? "*" : origin);
	if (!a->all)
		http_add_header(q, "Vary", "Origin");
	return 0;
}

int access_check(const struct access *a, struct http_request *q)
{
	const char *host = http_header(q, "Host");
	int status;

	host = host ? host : "";
	status = check_origin(a, q, host);
	if (status || !a->check_host)
		return status;
	if (!host_allowed(host))
		return 403;
	return !strcmp(q->method, "OPTIONS") && host_is_name(host) ? 204 : 0;
}
