#ifndef EASEL_GATEWAY_GATEWAY_H
#define EASEL_GATEWAY_GATEWAY_H

#include <stdint.h>

#include <event2/event.h>

#include "common/step_cache.h"
#include "common/store.h"
#include "gateway/access.h"
#include "gateway/http.h"
#include "gateway/runners.h"
#include "gateway/upload.h"

/* The one context, handed down to whoever needs a part of it. */
struct gateway {
	struct event_base *base;
	struct store *store;
	struct access *access;
	struct http_server *http;
	struct runners *runners;
	struct pool *pool;              /* loaded models */
	struct imports *imports;        /* models being created */
	struct uploads uploads;         /* pictures of requests in line */
	int64_t load_timeout_ns;        /* of silence; INT64_MAX: none */
	struct step_cache_setting step_cache;   /* where neither request nor model says */
	bool no_cloud_is_set;           /* OLLAMA_NO_CLOUD */
};

#endif
