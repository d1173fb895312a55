/*
 * Addresses, by libcurl's parser. Owns nothing; pure functions.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "gateway/transfer/url.h"

#define MAX_URL (64u << 10)

static bool is_web(const char *scheme)
{
	return !strcmp(scheme, "http") || !strcmp(scheme, "https");
}

int url_origin(const char *url, char ret[URL_ORIGIN_SIZE], struct err *err)
{
	char *scheme = NULL, *host = NULL, *port = NULL;
	CURLU *u = curl_url();
	int n = -1;

	if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK && is_web(scheme) &&
	    curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
		n = snprintf(ret, URL_ORIGIN_SIZE, "%s://%s:%s", scheme, host, port);
	for (char *c = ret; n > 0 && n < URL_ORIGIN_SIZE && *c; c++)
		*c = (char)tolower((unsigned char)*c);
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(u);
	if (n < 0 || n >= URL_ORIGIN_SIZE)
		return err_set(err, -EINVAL, "\"%.200s\" is no address of http or https", url);
	return 0;
}

void url_place(const char *url, char ret[URL_HOST_SIZE])
{
	char origin[URL_ORIGIN_SIZE] = "", *host;
	size_t len;

	ret[0] = '\0';
	if (url_origin(url, origin, NULL) < 0)
		return;
	host = strstr(origin, "://") + 3;
	*strrchr(host, ':') = '\0';
	len = strlen(host);
	if (*host == '[') {
		host++;
		len -= 2;
	}
	snprintf(ret, URL_HOST_SIZE, "%.*s", (int)len, host);
}

static bool is_below(const char *host, const char *name)
{
	size_t len = strlen(host), n = strlen(name);

	if (!n || len < n || strcasecmp(host + len - n, name))
		return false;
	return len == n || host[len - n - 1] == '.';
}

/* bits < 0: all of them. */
static bool is_in_network(const char *host, const char *network, int bits)
{
	unsigned char x[16], y[16];
	int family = strchr(host, ':') ? AF_INET6 : AF_INET, all = family == AF_INET ? 32 : 128;

	if (inet_pton(family, host, x) != 1 || inet_pton(family, network, y) != 1 || bits > all)
		return false;
	bits = bits < 0 ? all : bits;
	if (memcmp(x, y, (size_t)bits / 8))
		return false;
	return bits % 8 == 0 || (x[bits / 8] ^ y[bits / 8]) >> (8 - bits % 8) == 0;
}

static bool matches(const char *host, char *entry)
{
	char *slash = strchr(entry, '/'), *end = slash;
	size_t len = strlen(entry);
	long bits = slash ? strtol(slash + 1, &end, 10) : -1;

	if (slash) {
		*slash = '\0';
		return end > slash + 1 && !*end && bits >= 0 && is_in_network(host, entry, bits < 129 ? (int)bits : 129);
	}
	if (len > 2 && *entry == '[' && entry[len - 1] == ']') {
		entry[len - 1] = '\0';
		entry++;
	}
	return !strcmp(entry, "*") || is_in_network(host, entry, -1) || is_below(host, entry + (*entry == '.'));
}

bool url_host_is_listed(const char *host, const char *list)
{
	char entry[URL_HOST_SIZE];

	while (*(list += strspn(list, ", \t"))) {
		size_t len = strcspn(list, ", \t");

		snprintf(entry, sizeof(entry), "%.*s", (int)(len < sizeof(entry) ? len : 0), list);
		if (*entry && matches(host, entry))
			return true;
		list += len;
	}
	return false;
}

void url_host(const char *url, char *ret, size_t size)
{
	const char *at = strstr(url, "://"), *user;
	size_t len;

	ret[0] = '\0';
	if (!at)
		return;
	at += 3;
	len = strcspn(at, "/?#");
	user = memrchr(at, '@', len);
	if (user) {
		len -= (size_t)(user + 1 - at);
		at = user + 1;
	}
	snprintf(ret, size, "%.*s", (int)(len < size ? len : size - 1), at);
}

char *url_resolve(const char *base, const char *location)
{
	char origin[URL_ORIGIN_SIZE], *text = NULL, *ret = NULL;
	CURLU *u;

	if (strlen(location) > MAX_URL)
		return NULL;
	if (strstr(location, "://") && url_origin(location, origin, NULL) == 0)
		return strdup(location);
	u = curl_url();
	if (u && curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
	    curl_url_set(u, CURLUPART_URL, location, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK &&
	    url_origin(text, origin, NULL) == 0)
		ret = strdup(text);
	curl_free(text);
	curl_url_cleanup(u);
	return ret;
}

char *url_add_query(const char *url, const char *query)
{
	char *ret;

	return asprintf(&ret, "%s%c%s", url, strchr(url, '?') ? '&' : '?', query) < 0 ? NULL : ret;
}

char *url_encode(const char *text)
{
	struct buf out = BUF_INIT(MAX_URL);

	buf_puts(&out, "");
	for (; *text; text++) {
		if (isalnum((unsigned char)*text) || strchr("-_.~", *text))
			buf_append(&out, text, 1);
		else if (*text == ' ')
			buf_puts(&out, "+");
		else
			buf_printf(&out, "%%%02X", (unsigned char)*text);
	}
	return buf_take(&out, NULL);
}

int64_t url_retry_after(const char *value, int64_t now)
{
	char *end;
	long long seconds;
	time_t date;

	if (!value)
		return -1;
	errno = 0;
	seconds = strtoll(value, &end, 10);
	if (end != value && !*end)
		return errno || seconds < 0 ? -1 : seconds;
	date = curl_getdate(value, NULL);
	if (date < 0)
		return -1;
	return date > now ? date - now : 0;
}
