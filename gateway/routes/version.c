/* GET / , /api/version and /api/status: that a server is there, and which. */
#include "gateway/reply.h"
#include "gateway/routes.h"

/* What clients of the reference compare; easel's own version stands beside it. */
#define COMPATIBLE_VERSION "0.32.0"

void route_root(struct gateway *gw, struct http_request *q)
{
	(void)gw;
	http_reply_text(q, 200, "text/plain; charset=utf-8", "Ollama is running");
}

void route_version(struct gateway *gw, struct http_request *q)
{
	(void)gw;
	reply_json(q, 200, json_pack("{s:s, s:s}", "version", COMPATIBLE_VERSION,
				     "easel", EASEL_VERSION));
}

void route_status(struct gateway *gw, struct http_request *q)
{
	reply_json(q, 200, json_pack("{s:{s:b, s:s}}", "cloud", "disabled", 1, "source",
				     gw->no_cloud_is_set ? "env" : "config"));
}
