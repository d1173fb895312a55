/*
 * Being let in: a 401 becomes one token for all calls that wait for it. Runs on the event
 * loop; a registry with calls waiting has one request for a token open.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base64.h"
#include "common/timefmt.h"
#include "gateway/transfer/challenge.h"
#include "gateway/transfer/key.h"
#include "gateway/transfer/registry_private.h"
#include "gateway/transfer/retry.h"

/* Base64 of the hex text of SHA-256 of nothing: what the signature covers as the body. */
#define SIGNED_BODY \
	"ZTNiMGM0NDI5OGZjMWMxNDlhZmJmNGM4OTk2ZmI5MjQyN2FlNDFlNDY0OWI5MzRjYTQ5NTk5MWI3ODUyYjg1NQ=="
#define SKEW_S 60
/* The second token is for a call that shared one of a smaller scope. */
#define MAX_ASKED 2u
#define MAX_REFUSED 4u

void access_leave(struct call *c)
{
	struct registry *r = c->registry;

	TAILQ_REMOVE(&r->waiting, c, link);
	c->waits = false;
	if (!TAILQ_EMPTY(&r->waiting) || !r->token_fetch)
		return;
	fetch_cancel(r->token_fetch);
	r->token_fetch = NULL;
}

/* Its answer, the 401, is gone soon. */
static void wait(struct call *c)
{
	c->waits = true;
	c->fetch = NULL;
	TAILQ_INSERT_TAIL(&c->registry->waiting, c, link);
}

/* Everybody who waits goes on, or learns why not. */
static void release(struct registry *r, const struct err *err)
{
	struct err why;
	struct call *c;

	registry_ref(r);
	while ((c = TAILQ_FIRST(&r->waiting))) {
		TAILQ_REMOVE(&r->waiting, c, link);
		c->waits = false;
		if (err)
			call_finish(c, err);
		else if (call_send(c, &why) < 0)
			call_finish(c, &why);
	}
	registry_unref(r);
}

static int set_authorization(struct registry *r, const char *scheme, const char *value, struct err *err)
{
	char *text;

	if (asprintf(&text, "Authorization: %s %s", scheme, value) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	free(r->authorization);
	r->authorization = text;
	r->token_number++;
	return 0;
}

/* base64 of "user:password". */
static char *basic_value(const struct site *s)
{
	char *pair, *text;
	size_t len;

	if (asprintf(&pair, "%s:%s", s->username, s->password) < 0)
		return NULL;
	len = strlen(pair);
	text = malloc(base64_size(len) + 1);
	if (text)
		text[base64_encode(pair, len, text)] = '\0';
	free(pair);
	return text;
}

/* ---- the answer ---- */

/* A clock that is off makes signatures void, and nothing else tells. */
static void add_clock(const struct fetch *f, struct err *err)
{
	const char *date = fetch_header(f, "Date");
	int64_t now = time_now_ns() / 1000000000, theirs = date ? curl_getdate(date, NULL) : -1;
	struct err old = *err;
	char text[TIME_TEXT_SIZE];

	if (theirs < 0 || (theirs > now ? theirs - now : now - theirs) <= SKEW_S)
		return;
	time_format(now * 1000000000, true, text);
	err_set(err, old.code, "%.300s (the registry's clock says %.40s, this machine's %s)", old.text, date,
		text);
}

static int read_token(struct registry *r, const struct fetch *f, struct err *err)
{
	long status = fetch_status(f);
	size_t len;
	const char *body = fetch_body(f, &len);
	char text[400], *token;
	int result;

	if (status >= 400) {
		retry_describe(status, body, text, sizeof(text));
		err_set(err, status >= 500 ? -EIO : -EACCES, "%s%s",
			status == 401 || status == 403 ? "unauthorized: " : "", text);
		add_clock(f, err);
		return err->code;
	}
	if (status != 200)
		return err_set(err, -EACCES, "the token server answered with status %ld", status);
	result = challenge_read_token(body, len, &token, err);
	if (result == 0)
		result = set_authorization(r, "Bearer", token, err);
	free(token);
	return result;
}

static void on_token(void *owner, struct fetch *f, const struct err *err)
{
	struct registry *r = owner;
	struct err why;

	r->token_fetch = NULL;
	if (!err && read_token(r, f, &why) < 0)
		err = &why;
	release(r, err);
}

static const struct fetch_handler token_handler = { .done = on_token };

/* ---- the question ---- */

/* 1: there is a key; 0: there is none, and none is needed. */
static int find_key(const struct registry *r, struct key **ret, struct err *err)
{
	const char *home = getenv("HOME");
	char path[4096];
	int result;

	if (!home || !*home)
		return 0;
	snprintf(path, sizeof(path), "%s/.ollama/id_ed25519", home);
	result = key_load(path, ret, err);
	if (result == -ENOENT && r->site.ollama && r->use == REGISTRY_PUSH) {
		result = key_create(path, err);
		if (result == 0)
			result = key_load(path, ret, err);
	} else if (result == -ENOENT) {
		return 0;
	}
	return result < 0 ? result : 1;
}

static int sign(const struct key *key, const char *url, char **ret, struct err *err)
{
	char *text, *signature = NULL;

	if (asprintf(&text, "GET,%s,%s", url, SIGNED_BODY) >= 0) {
		signature = key_sign(key, text);
		free(text);
	}
	if (!signature || asprintf(ret, "Authorization: %s", signature) < 0)
		*ret = NULL;
	free(signature);
	return *ret ? 0 : err_set(err, -ENOMEM, "out of memory");
}

/* The address, and the header that says who asks; NULL where nobody is known. */
static int make_signed(struct registry *r, const struct challenge *c, char **url, char **header,
		       struct err *err)
{
	struct key *key = NULL;
	char nonce[32];
	int result = find_key(r, &key, err);

	if (result == 1)
		result = key_nonce(nonce, err);
	if (result < 0) {
		key_free(key);
		return result;
	}
	*url = challenge_token_url(c, time_now_ns() / 1000000000, key ? nonce : NULL);
	if (!*url)
		result = err_set(err, -ENOMEM, "out of memory");
	else if (key)
		result = sign(key, *url, header, err);
	key_free(key);
	return result;
}

static int make_basic(const struct registry *r, const struct challenge *c, char **url, char **header,
		      struct err *err)
{
	char *value = basic_value(&r->site);

	*url = challenge_token_url(c, 0, NULL);
	if (!value || asprintf(header, "Authorization: Basic %s", value) < 0)
		*header = NULL;
	free(value);
	return *url && *header ? 0 : err_set(err, -ENOMEM, "out of memory");
}

/* Whoever is asked learns who we are. */
static int check_realm(const struct registry *r, const struct challenge *c, struct err *err)
{
	char host[300];

	url_host(c->realm, host, sizeof(host));
	if (!*host || (strcasecmp(host, r->host) && !site_trusts(&r->site, host)))
		return err_set(err, -EACCES, "realm host \"%.200s\" does not match original host \"%.200s\"",
			       host, r->host);
	if (!r->plain && strncasecmp(c->realm, "https:", 6))
		return err_set(err, -EACCES, "refused: the registry's token server speaks plain HTTP");
	return 0;
}

static int ask_for_token(struct registry *r, const struct challenge *c, struct err *err)
{
	struct fetch_order order = { .method = "GET" };
	char *url = NULL, *header = NULL;
	int result = check_realm(r, c, err);

	if (result == 0)
		result = r->site.username ? make_basic(r, c, &url, &header, err) :
			 make_signed(r, c, &url, &header, err);
	if (result >= 0) {
		order.url = url;
		order.headers = header ? curl_slist_append(NULL, header) : NULL;
		order.reach = r->plain && !r->site.plain ? FETCH_PRIVATE : FETCH_ANYWHERE;
		result = fetch_start(r->fetcher, &order, &token_handler, r, &r->token_fetch, err);
	}
	free(url);
	free(header);
	return result;
}

static int answer(struct call *c, struct err *err)
{
	struct registry *r = c->registry;
	struct challenge challenge;
	char *value;
	int result = challenge_parse(call_header(c, "WWW-Authenticate"), &challenge, err);

	if (result < 0)
		return result;
	if (challenge.scheme == CHALLENGE_BASIC && r->site.username) {
		value = basic_value(&r->site);
		result = value ? set_authorization(r, "Basic", value, err) :
			 err_set(err, -ENOMEM, "out of memory");
		free(value);
		if (result == 0)
			result = call_send(c, err);
	} else {
		result = ask_for_token(r, &challenge, err);
		if (result >= 0)
			wait(c);
	}
	challenge_clear(&challenge);
	return result < 0 ? result : 0;
}

void access_ask(struct call *c)
{
	struct registry *r = c->registry;
	struct err err;
	int result = 0;

	if (c->token_number != r->token_number && c->n_refused++ < MAX_REFUSED) {
		result = call_send(c, &err);    /* there is a newer one meanwhile */
	} else if (c->n_asked++ >= MAX_ASKED) {
		result = err_set(&err, -EACCES, "unauthorized: access denied");
		add_clock(c->fetch, &err);
	} else if (r->token_fetch) {
		wait(c);
	} else {
		result = answer(c, &err);
	}
	if (result < 0)
		call_finish(c, &err);
}
