/* Routes of the reference's cloud, which this server has none of. */
#include <errno.h>
#include <string.h>

#include "gateway/reply.h"
#include "gateway/routes.h"

static const struct refusal {
	const char *path;
	int code;
	const char *text;
} refusals[] = {
	{ "/api/me", -ENOKEY, "unauthorized" },
	{ "/api/signout", -ENOKEY, "you are not currently signed in" },
	{ "/api/experimental/web_search", -EPERM,
	  "ollama cloud is disabled: web search is unavailable" },
	{ "/api/experimental/web_fetch", -EPERM,
	  "ollama cloud is disabled: web fetch is unavailable" },
};

void route_account(struct gateway *gw, struct http_request *q)
{
	const struct refusal *row = refusals;
	struct err err;

	(void)gw;
	while (strcmp(row->path, q->path))
		row++;                  /* the routes are these rows */
	err_set(&err, row->code, "%s", row->text);
	reply_error(q, &err);
}

void route_recommendations(struct gateway *gw, struct http_request *q)
{
	(void)gw;
	reply_json(q, 200, json_pack("{s:[]}", "recommendations"));
}
