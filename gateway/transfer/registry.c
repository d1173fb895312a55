/*
 * Requests to a registry. Owns calls and registries; runs on the event loop.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/timefmt.h"
#include "gateway/transfer/registry_private.h"

#define MAX_REDIRECTS 10u
#define EXPECT_MIN (1u << 20)           /* bytes of a body */

/* ---- the registry ---- */

int registry_open(struct fetcher *x, const struct model_name *name, bool insecure,
		  enum registry_use use, struct registry **ret, struct err *err)
{
	struct registry *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(err, -ENOMEM, "out of memory");
	r->refs = 1;
	r->fetcher = x;
	r->plain = insecure;
	r->use = use;
	TAILQ_INIT(&r->waiting);
	snprintf(r->host, sizeof(r->host), "%s", name->host);
	snprintf(r->base, sizeof(r->base), "%s://%s", insecure ? "http" : "https", name->host);
	snprintf(r->repository, sizeof(r->repository), "%s/%s", name->namespace, name->model);
	if (url_origin(r->base, r->origin, err) < 0 || sites_load(&r->sites, err) < 0) {
		registry_unref(r);
		return err->code;
	}
	sites_find(r->sites, r->host, &r->site);
	*ret = r;
	return 0;
}

struct registry *registry_ref(struct registry *r)
{
	r->refs++;
	return r;
}

void registry_unref(struct registry *r)
{
	if (!r || --r->refs)
		return;
	json_decref(r->sites);
	free(r->authorization);
	free(r);
}

const struct site *registry_site(const struct registry *r)
{
	return &r->site;
}

bool registry_gives_up(const struct registry *r, const struct err *err)
{
	if (err->code == -ECONNREFUSED || err->code == -EHOSTUNREACH)
		return !r->answered;
	return err->code == -EPERM || err->code == -EACCES || err->code == -EPROTO;
}

char *registry_url(const struct registry *r, const char *rest)
{
	char *url;

	return asprintf(&url, "%s/v2/%s/%s", r->base, r->repository, rest) < 0 ? NULL : url;
}

/* ---- one call ---- */

static bool is_at_registry(const struct call *c)
{
	char origin[URL_ORIGIN_SIZE];

	return url_origin(c->order.url, origin, NULL) == 0 && !strcmp(origin, c->registry->origin);
}

static enum fetch_reach reach_of(const struct call *c)
{
	const struct registry *r = c->registry;

	if (is_at_registry(c))
		return r->plain && !r->site.plain ? FETCH_PRIVATE : FETCH_ANYWHERE;
	return r->near ? FETCH_ANYWHERE : FETCH_PUBLIC;
}

static bool on_head(void *owner, struct fetch *f);
static enum fetch_verdict on_data(void *owner, const void *data, size_t len);
static ssize_t on_body(void *owner, uint64_t offset, void *to, size_t max);
static void on_done(void *owner, struct fetch *f, const struct err *err);

static const struct fetch_handler fetch_handler = { on_head, on_data, on_body, on_done };

static int add_header(struct curl_slist **list, const char *text)
{
	struct curl_slist *more = text ? curl_slist_append(*list, text) : *list;

	if (!more)
		return text ? -ENOMEM : 0;
	*list = more;
	return 0;
}

/* Only where a large body may be sent elsewhere instead; waiting for nothing takes a second. */
static bool asks_before(const struct call *c)
{
	return c->registry->site.ollama && !strcmp(c->order.method, "PATCH") && c->order.body_size >= EXPECT_MIN;
}

static int make_headers(struct call *c, struct curl_slist **ret)
{
	bool known = is_at_registry(c) && !c->order.bare;
	int r = add_header(ret, known ? c->registry->authorization : NULL);

	for (size_t i = 0; r == 0 && i < CALL_HEADERS && c->order.headers[i]; i++)
		r = add_header(ret, c->order.headers[i]);
	if (r == 0 && c->order.has_body && !asks_before(c))
		r = add_header(ret, "Expect:");
	return r;
}

int call_send(struct call *c, struct err *err)
{
	struct fetch_order order = {
		.method = c->order.method, .url = c->order.url, .has_body = c->order.has_body,
		.body_size = c->order.body_size, .reach = reach_of(c),
	};

	if (make_headers(c, &order.headers) < 0) {
		curl_slist_free_all(order.headers);
		return err_set(err, -ENOMEM, "out of memory");
	}
	c->token_number = c->registry->token_number;
	return fetch_start(c->registry->fetcher, &order, &fetch_handler, c, &c->fetch, err);
}

static void call_free(struct call *c)
{
	for (size_t i = 0; i < CALL_HEADERS; i++)
		free((char *)(uintptr_t)c->order.headers[i]);
	free((char *)(uintptr_t)c->order.method);
	free((char *)(uintptr_t)c->order.url);
	registry_unref(c->registry);
	free(c);
}

void call_finish(struct call *c, const struct err *err)
{
	c->handler->done(c->owner, c, err);
	call_free(c);
}

static bool is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Answers that the caller never sees. */
static bool is_ours(const struct call *c, long status)
{
	return (status == 401 && !c->order.bare && is_at_registry(c)) ||
	       (c->order.follow && is_redirect(status));
}

static bool on_head(void *owner, struct fetch *f)
{
	struct call *c = owner;

	c->fetch = f;
	return !is_ours(c, fetch_status(f)) && c->handler->head && c->handler->head(c->owner, c);
}

static enum fetch_verdict on_data(void *owner, const void *data, size_t len)
{
	struct call *c = owner;

	return c->handler->data(c->owner, data, len);
}

static ssize_t on_body(void *owner, uint64_t offset, void *to, size_t max)
{
	struct call *c = owner;

	return c->handler->body ? c->handler->body(c->owner, offset, to, max) : -1;
}

static int follow(struct call *c, const char *location, struct err *err)
{
	long status = call_status(c);
	char *next;

	if (!location)
		return err_set(err, -EPROTO, "status %ld without a Location", status);
	if (++c->n_redirects > MAX_REDIRECTS)
		return err_set(err, -EPROTO, "more than %u redirects", MAX_REDIRECTS);
	next = url_resolve(c->order.url, location);
	if (!next)
		return err_set(err, -EPROTO, "status %ld leads to no address of http or https", status);
	if (!strncmp(c->order.url, "https:", 6) && !strncmp(next, "http:", 5)) {
		free(next);
		return err_set(err, -EPERM, "refused: a redirect from HTTPS to plain HTTP");
	}
	free((char *)(uintptr_t)c->order.url);
	c->order.url = next;
	return call_send(c, err);
}

static void on_done(void *owner, struct fetch *f, const struct err *err)
{
	struct call *c = owner;
	long status = fetch_status(f);
	struct err why;

	c->fetch = f;
	if (!err && is_at_registry(c)) {
		c->registry->answered = true;
		c->registry->near = fetch_is_private(f);
	}
	if (err || !is_ours(c, status))
		call_finish(c, err);
	else if (status == 401)
		access_ask(c);
	else if (follow(c, fetch_header(f, "Location"), &why) < 0)
		call_finish(c, &why);
}

static int copy_order(struct call *c, const struct call_order *order)
{
	bool failed;

	c->order = *order;
	c->order.method = strdup(order->method);
	c->order.url = strdup(order->url);
	failed = !c->order.method || !c->order.url;
	for (size_t i = 0; i < CALL_HEADERS; i++) {
		c->order.headers[i] = order->headers[i] ? strdup(order->headers[i]) : NULL;
		failed = failed || (order->headers[i] && !c->order.headers[i]);
	}
	return failed ? -ENOMEM : 0;
}

int call_start(struct registry *r, const struct call_order *order,
	       const struct call_handler *handler, void *owner, struct call **ret, struct err *err)
{
	struct call *c = calloc(1, sizeof(*c));
	int result;

	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	c->registry = registry_ref(r);
	c->handler = handler;
	c->owner = owner;
	result = copy_order(c, order) < 0 ? err_set(err, -ENOMEM, "out of memory") : call_send(c, err);
	if (result < 0) {
		call_free(c);
		return result;
	}
	*ret = c;
	return 0;
}

void call_cancel(struct call *c)
{
	if (!c)
		return;
	if (c->waits)
		access_leave(c);
	else
		fetch_cancel(c->fetch);
	call_free(c);
}

void call_resume(struct call *c)
{
	if (!c->waits)
		fetch_resume(c->fetch);
}

long call_status(const struct call *c)
{
	return c->fetch ? fetch_status(c->fetch) : 0;
}

const char *call_header(const struct call *c, const char *name)
{
	return c->fetch ? fetch_header(c->fetch, name) : NULL;
}

void call_each_header(const struct call *c, void (*each)(void *arg, const char *name, const char *value),
		      void *arg)
{
	if (c->fetch)
		fetch_each_header(c->fetch, each, arg);
}

const char *call_body(const struct call *c, size_t *ret_len)
{
	if (c->fetch)
		return fetch_body(c->fetch, ret_len);
	if (ret_len)
		*ret_len = 0;
	return "";
}

const char *call_url(const struct call *c)
{
	return c->order.url;
}

bool call_is_elsewhere(const struct call *c)
{
	return !is_at_registry(c);
}

int64_t call_retry_after(const struct call *c)
{
	long status = call_status(c);

	if (status != 429 && status != 503)
		return -1;
	return url_retry_after(call_header(c, "Retry-After"), time_now_ns() / 1000000000);
}
