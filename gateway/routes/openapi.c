/* GET /openapi.json: the description of these routes, made from gateway/openapi.json. */
#include "gateway/reply.h"
#include "gateway/routes.h"
#include "gateway/openapi.h"

void route_openapi(struct gateway *gw, struct http_request *q)
{
	struct evbuffer *body = evbuffer_new();

	(void)gw;
	evbuffer_add_reference(body, openapi_json, sizeof(openapi_json) - 1, NULL, NULL);
	http_reply(q, 200, TYPE_JSON, body);
	evbuffer_free(body);
}
