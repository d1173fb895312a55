#ifndef EASEL_GATEWAY_GATEWAY_H
#define EASEL_GATEWAY_GATEWAY_H

#include <stdint.h>

#include <event2/event.h>

#include "common/step_cache.h"
#include "common/store.h"
#include "gateway/access.h"
#include "gateway/http.h"
#include "gateway/runners.h"
#include "gateway/transfer/transfers.h"
#include "gateway/upload.h"

/* The one context, handed down to whoever needs a part of it. */
struct gateway {
	struct event_base *base;
	struct store *store;
	struct catalog *catalog;        /* what lists of its models tell */
	struct access *access;
	struct http_server *http;
	struct runners *runners;
	struct pool *pool;              /* loaded models */
	struct imports *imports;        /* models being created */
	struct transfers *transfers;    /* pulls and pushes */
	struct metrics *metrics;
	int64_t started_ns;             /* Unix time */
	char unready[600];              /* why no picture can be drawn; "": one can */
	struct kept_files *files;       /* pictures to be fetched by URL */
	char address[HTTP_ADDRESS_SIZE];        /* where it listens, "127.0.0.1:11434" */
	struct uploads uploads;         /* pictures of requests in line */
	struct uploads kept;            /* bytes of files */
	int64_t load_timeout_ns;        /* of silence; INT64_MAX: none */
	struct step_cache_setting step_cache;   /* where neither request nor model says */
	bool no_cloud_is_set;           /* OLLAMA_NO_CLOUD */
};

#endif
