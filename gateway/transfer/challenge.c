/*
 * The header WWW-Authenticate, and the token it leads to. Owns nothing; pure functions.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/fields.h"
#include "gateway/transfer/challenge.h"
#include "gateway/transfer/url.h"

#define MAX_HEADER (16u << 10)
#define MAX_TOKEN (64u << 10)

static const char *skip(const char *at, const char *set)
{
	return at + strspn(at, set);
}

/* One value, quoted or bare, into out; what is behind it. */
static const char *read_value(const char *at, struct buf *out)
{
	if (*at != '"') {
		size_t len = strcspn(at, ", \t");

		buf_append(out, at, len);
		return at + len;
	}
	for (at++; *at && *at != '"'; at++) {
		if (*at == '\\' && at[1])
			at++;
		buf_append(out, at, 1);
	}
	return *at ? at + 1 : at;
}

/* The first of a name counts. */
static int keep(struct challenge *c, const char *name, size_t len, struct buf *value)
{
	const struct { const char *name; char **to; } rows[] = {
		{ "realm", &c->realm }, { "service", &c->service }, { "scope", &c->scope },
	};
	char *text;

	buf_puts(value, "");
	text = buf_take(value, NULL);
	if (!text)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strlen(rows[i].name) == len && !strncasecmp(rows[i].name, name, len) && !*rows[i].to) {
			*rows[i].to = text;
			return 0;
		}
	free(text);
	return 0;
}

static int read_parameters(const char *at, struct challenge *c)
{
	int r = 0;

	while (r == 0 && *(at = skip(at, ", \t"))) {
		struct buf value = BUF_INIT(MAX_HEADER);
		const char *name = at;
		size_t len = strcspn(at, "=, \t");

		at = skip(at + len, " \t");
		if (*at == '=')
			at = read_value(skip(at + 1, " \t"), &value);
		r = keep(c, name, len, &value);
	}
	return r;
}

static int fill(char **text)
{
	if (!*text)
		*text = strdup("");
	return *text ? 0 : -ENOMEM;
}

static enum challenge_scheme scheme_of(const char *header, size_t len)
{
	if (len == 5 && !strncasecmp(header, "Basic", 5))
		return CHALLENGE_BASIC;
	return len == 6 && !strncasecmp(header, "Bearer", 6) ? CHALLENGE_BEARER : CHALLENGE_NONE;
}

int challenge_parse(const char *header, struct challenge *ret, struct err *err)
{
	struct challenge c = { 0 };
	size_t len;
	int r = 0;

	if (header && strlen(header) > MAX_HEADER)
		return err_set(err, -EINVAL, "the registry's WWW-Authenticate is too long");
	header = skip(header ? header : "", " \t");
	len = strcspn(header, " \t");
	c.scheme = scheme_of(header, len);
	if (c.scheme != CHALLENGE_NONE)
		r = read_parameters(header + len, &c);
	if (r == 0 && !fill(&c.realm) && !fill(&c.service) && !fill(&c.scope)) {
		*ret = c;
		return 0;
	}
	challenge_clear(&c);
	return err_set(err, -ENOMEM, "out of memory");
}

void challenge_clear(struct challenge *c)
{
	free(c->realm);
	free(c->service);
	free(c->scope);
	*c = (struct challenge){ 0 };
}

static void add(struct buf *url, const char *key, const char *value)
{
	char *text = url_encode(value);

	buf_printf(url, "%c%s=%s", url->data && strchr(url->data, '?') ? '&' : '?', key, text ? text : "");
	if (!text)
		url->failed = true;
	free(text);
}

static void add_scopes(struct buf *url, const char *scopes)
{
	while (*(scopes = skip(scopes, " "))) {
		size_t len = strcspn(scopes, " ");
		char *one = strndup(scopes, len);

		if (one)
			add(url, "scope", one);
		else
			url->failed = true;
		free(one);
		scopes += len;
	}
}

char *challenge_token_url(const struct challenge *c, long long ts, const char *nonce)
{
	struct buf url = BUF_INIT(4 * MAX_HEADER);
	char time[32];

	buf_puts(&url, c->realm);
	if (nonce)
		add(&url, "nonce", nonce);
	add_scopes(&url, c->scope);
	if (*c->service || nonce)
		add(&url, "service", c->service);
	if (nonce) {
		snprintf(time, sizeof(time), "%lld", ts);
		add(&url, "ts", time);
	}
	return buf_take(&url, NULL);
}

/* Goes into a header line as it is. */
static bool is_clean(const char *text)
{
	if (!*text || strlen(text) > MAX_TOKEN)
		return false;
	for (; *text; text++)
		if (*text <= ' ' || *text > '~')
			return false;
	return true;
}

int challenge_read_token(const char *body, size_t len, char **ret, struct err *err)
{
	json_t *answer = json_parse(body, len, true, NULL);
	const char *token = json_string_value(json_object_get(answer, "token"));

	if (!token || !*token)
		token = json_string_value(json_object_get(answer, "access_token"));
	*ret = token && is_clean(token) ? strdup(token) : NULL;
	json_decref(answer);
	return *ret ? 0 : err_set(err, -EBADMSG, "the registry's answer holds no token");
}
