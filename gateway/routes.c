/*
 * The table of routes, and what comes before a handler: access checks, unknown paths
 * and methods, redirects, the access log. Owns nothing; runs on the event loop.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/timefmt.h"
#include "gateway/metrics.h"
#include "gateway/reply.h"
#include "gateway/routes.h"

static const struct route routes[] = {
	{ "GET",    "/",                      route_root },
	{ "HEAD",   "/",                      route_root },
	{ "GET",    "/api/version",           route_version },
	{ "HEAD",   "/api/version",           route_version },
	{ "GET",    "/metrics",               route_metrics },
	{ "GET",    "/openapi.json",          route_openapi },
	{ "GET",    "/livez",                 route_livez },
	{ "HEAD",   "/livez",                 route_livez },
	{ "GET",    "/readyz",                route_readyz },
	{ "HEAD",   "/readyz",                route_readyz },
	{ "GET",    "/api/status",            route_status },
	{ "GET",    "/api/tags",              route_tags },
	{ "HEAD",   "/api/tags",              route_tags },
	{ "GET",    "/api/ps",                route_ps },
	{ "POST",   "/api/show",              route_show },
	{ "POST",   "/api/generate",          route_generate },
	{ "POST",   "/api/create",            route_create },
	{ "POST",   "/api/verify",            route_verify },
	{ "POST",   "/api/copy",              route_copy },
	{ "DELETE", "/api/delete",            route_delete },
	{ "HEAD",   "/api/blobs/*",           route_blob },
	{ "POST",   "/api/blobs/*",           route_blob, blob_begin },
	{ "POST",   "/api/pull",              route_pull },
	{ "POST",   "/api/push",              route_push },
	{ "POST",   "/v1/images/generations", route_images },
	{ "POST",   "/v1/images/edits",       route_edits },
	{ "GET",    "/v1/images/files/*",     route_file },
	{ "HEAD",   "/v1/images/files/*",     route_file },
	{ "GET",    "/v1/models",             route_models },
	{ "GET",    "/v1/models/*",           route_model },
	{ "POST",   "/api/chat",              route_text },
	{ "POST",   "/api/embed",             route_text },
	{ "POST",   "/api/embeddings",        route_text },
	{ "POST",   "/v1/chat/completions",   route_text },
	{ "POST",   "/v1/completions",        route_text },
	{ "POST",   "/v1/responses",          route_text },
	{ "POST",   "/v1/messages",           route_text },
	{ "POST",   "/v1/embeddings",         route_text },
	{ "POST",   "/api/me",                route_account },
	{ "POST",   "/api/signout",           route_account },
	{ "POST",   "/api/experimental/web_search", route_account },
	{ "POST",   "/api/experimental/web_fetch", route_account },
	{ "GET",    "/api/experimental/model-recommendations", route_recommendations },
	{ "POST",   "/api/experimental/model-recommendations", route_recommendations },
};
#define N_ROUTES (sizeof(routes) / sizeof(routes[0]))

static bool path_matches(const char *pattern, const char *path)
{
	size_t len = strlen(pattern);

	if (pattern[len - 1] != '*')
		return !strcmp(pattern, path);
	return !strncmp(pattern, path, len - 1) && path[len - 1];
}

static const struct route *find(const char *method, const char *path)
{
	for (size_t i = 0; i < N_ROUTES; i++)
		if (path_matches(routes[i].path, path) &&
		    (!method || !strcmp(routes[i].method, method)))
			return &routes[i];
	return NULL;
}

/* ---- paths that are nearly right ---- */

static void redirect(struct http_request *q, int status, const char *target)
{
	size_t size = strlen(target) + strlen(q->query) + 2;
	char *location = malloc(size);

	if (!location) {
		http_reply(q, 500, NULL, NULL);
		return;
	}
	snprintf(location, size, "%s%s%s", target, *q->query ? "?" : "", q->query);
	http_add_header(q, "Location", location);
	http_reply(q, status, NULL, NULL);
	free(location);
}

/* "/api//tags" -> "/api/tags"; false when nothing is doubled. */
static bool clean(const char *target, char *ret)
{
	bool changed = false;

	for (; *target; target++) {
		if (target[0] == '/' && target[1] == '/')
			changed = true;
		else
			*ret++ = *target;
	}
	*ret = '\0';
	return changed;
}

/* Cuts the slash at the end; false when there is none or nothing is known without it. */
static bool cut_slash(const char *target, char *ret)
{
	size_t len = strlen(target);

	if (len < 2 || target[len - 1] != '/')
		return false;
	memcpy(ret, target, len - 1);
	ret[len - 1] = '\0';
	return find(NULL, ret) != NULL;
}

static bool redirect_near(struct http_request *q)
{
	char *near = malloc(strlen(q->target) + 1);
	bool done = true;

	if (!near)
		return false;
	if (clean(q->target, near))
		redirect(q, 307, near);
	else if (cut_slash(q->target, near))
		redirect(q, !strcmp(q->method, "GET") ? 301 : 307, near);
	else
		done = false;
	free(near);
	return done;
}

static void wrong_method(struct http_request *q)
{
	char allow[64] = "";

	for (size_t i = 0; i < N_ROUTES; i++) {
		size_t len = strlen(allow);

		if (path_matches(routes[i].path, q->path))
			snprintf(allow + len, sizeof(allow) - len, "%s%s", len ? ", " : "",
				 routes[i].method);
	}
	http_add_header(q, "Allow", allow);
	http_reply_text(q, 405, "text/plain", "405 method not allowed");
}

/* ---- the HTTP server's callbacks ---- */

static bool ends_in_slash(const char *target)
{
	size_t len = strlen(target);

	return len > 1 && target[len - 1] == '/';
}

static enum http_body on_head(void *ctx, struct http_request *q)
{
	struct gateway *gw = ctx;

	q->refusal = access_check(gw->access, q);
	/* Slashes that are redirected elsewhere are no part of an id either. */
	if (!q->refusal && !strstr(q->target, "//") && !ends_in_slash(q->target))
		q->route = find(q->method, q->path);
	if (!q->route || !strcmp(q->method, "GET") || !strcmp(q->method, "HEAD"))
		return HTTP_BODY_DROP;
	return q->route->begin ? q->route->begin(gw, q) : HTTP_BODY_KEEP;
}

/* Blobs are the only bodies that come in pieces. */
static int on_body(void *ctx, struct http_request *q, const void *data, size_t len,
		   struct err *err)
{
	(void)ctx;
	return blob_write(q, data, len, err);
}

static void on_request(void *ctx, struct http_request *q)
{
	if (q->refusal)
		http_reply(q, q->refusal, NULL, NULL);
	else if (q->route)
		q->route->handler(ctx, q);
	else if (redirect_near(q))
		return;
	else if (find(NULL, q->path))
		wrong_method(q);
	else
		http_reply_text(q, 404, "text/plain", "404 page not found");
}

static void on_refused(void *ctx, struct http_request *q, const struct err *err)
{
	(void)ctx;
	reply_error(q, err);
}

/* Go prints durations in the largest unit that leaves a whole part. */
static void print_duration(int64_t ns, char *ret, size_t size)
{
	if (ns >= 1000000000)
		snprintf(ret, size, "%.6fs", (double)ns / 1e9);
	else if (ns >= 1000000)
		snprintf(ret, size, "%.6fms", (double)ns / 1e6);
	else
		snprintf(ret, size, "%.3f\u00b5s", (double)ns / 1e3);
}

/* Anybody can send any of HTTP's many methods: they must not use up the metric's series. */
static const char *method_label(const char *method)
{
	for (size_t i = 0; i < N_ROUTES; i++)
		if (!strcmp(routes[i].method, method))
			return routes[i].method;
	return "other";
}

static void on_done(void *ctx, struct http_request *q, int status)
{
	struct gateway *gw = ctx;
	char duration[32], code[16];

	blob_drop(q);
	snprintf(code, sizeof(code), "%d", status);
	metrics_count(gw->metrics, METRIC_REQUESTS, q->route ? q->route->path : "other",
		      method_label(q->method), code);
	print_duration(time_monotonic_ns() - q->began_ns, duration, sizeof(duration));
	log_request(LOG_INFO, q->id, "%d | %13s | %15s | %-8s \"%.200s\"", status, duration,
		    q->peer, q->method, q->target);
}

const struct http_handler routes_handler = {
	on_head, on_body, on_request, on_refused, on_done,
};
