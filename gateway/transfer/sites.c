/*
 * The user's file about registries. Owns nothing: it is read anew for each transfer, so
 * that a change counts at once.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/fields.h"
#include "common/settings.h"
#include "gateway/transfer/sites.h"

#define SITES_MAX (1u << 20)

static char *default_path(void)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char *path = NULL;
	int n = -1;

	if (xdg && *xdg == '/')
		n = asprintf(&path, "%s/easel/registries.json", xdg);
	else if (home && *home)
		n = asprintf(&path, "%s/.config/easel/registries.json", home);
	return n < 0 ? NULL : path;
}

int sites_load(json_t **ret, struct err *err)
{
	char *given = settings_get("REGISTRIES"), *path = given ? given : default_path();
	int r = 0;

	*ret = NULL;
	if (path && (given || access(path, F_OK) == 0)) {
		*ret = json_parse_file(path, SITES_MAX, err);
		if (!*ret)
			r = err->code < 0 ? err->code : -EINVAL;
		else if (!json_is_object(*ret))
			r = err_set(err, -EINVAL, "%s: should be an object of hosts", path);
	}
	if (r == 0 && !*ret)
		*ret = json_object();
	if (r == 0 && !*ret)
		r = err_set(err, -ENOMEM, "out of memory");
	if (r < 0) {
		json_decref(*ret);
		*ret = NULL;
	}
	free(path);
	return r;
}

static bool is_below(const char *host, const char *domain)
{
	size_t len = strcspn(host, ":"), n = strlen(domain);

	if (len < n || strncasecmp(host + len - n, domain, n))
		return false;
	return len == n || host[len - n - 1] == '.';
}

void sites_find(const json_t *sites, const char *host, struct site *ret)
{
	const json_t *object = json_object_get(sites, host), *hosts = json_object_get(object, "token_hosts");
	const char *user = json_string_value(json_object_get(object, "username"));
	const char *password = json_string_value(json_object_get(object, "password"));

	*ret = (struct site){
		.username = user && *user ? user : NULL,
		.password = password ? password : "",
		.plain = json_is_true(json_object_get(object, "plain")),
		.ollama = json_is_true(json_object_get(object, "ollama")) ||
			  is_below(host, "ollama.ai") || is_below(host, "ollama.com"),
		.token_hosts = json_is_array(hosts) ? hosts : NULL,
	};
}

bool site_trusts(const struct site *s, const char *token_host)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)s->token_hosts, i, one) {
		const char *text = json_string_value(one);

		if (text && !strcasecmp(text, token_host))
			return true;
	}
	return false;
}
