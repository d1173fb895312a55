/* GET /api/ps: the models in memory, also those still loading or stopping. */
#include "gateway/pool.h"
#include "gateway/reply.h"
#include "gateway/routes.h"

void route_ps(struct gateway *gw, struct http_request *q)
{
	reply_json(q, 200, json_pack("{s:o}", "models", pool_list(gw->pool)));
}
