/*
 * GET /metrics, /livez and /readyz: what machines ask that watch this one. What changes
 * without an event, such as memory, is measured when it is asked for.
 */
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "gateway/metrics.h"
#include "gateway/pool.h"
#include "gateway/process.h"
#include "gateway/reply.h"
#include "gateway/routes.h"

static double open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	double n = -3;                  /* not ".", ".." and the one that reads */

	if (!dir)
		return 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void measure(struct gateway *gw)
{
	struct metrics *m = gw->metrics;

	pool_measure(gw->pool);
	metrics_gauge(m, METRIC_CONNECTIONS, (double)http_connections(gw->http), NULL);
	metrics_gauge(m, METRIC_HELD, (double)gw->uploads.held, "bodies");
	metrics_gauge(m, METRIC_HELD, (double)gw->kept.held, "files");
	metrics_gauge(m, METRIC_RESIDENT, (double)process_resident_bytes(getpid()), NULL);
	metrics_gauge(m, METRIC_OPEN_FDS, open_descriptors(), NULL);
	metrics_gauge(m, METRIC_START_TIME, (double)gw->started_ns / 1e9, NULL);
}

void route_metrics(struct gateway *gw, struct http_request *q)
{
	struct evbuffer *body = evbuffer_new();

	measure(gw);
	metrics_print(gw->metrics, body);
	http_reply(q, 200, "text/plain; version=0.0.4; charset=utf-8", body);
	evbuffer_free(body);
}

void route_livez(struct gateway *gw, struct http_request *q)
{
	(void)gw;
	http_reply_text(q, 200, "text/plain; charset=utf-8", "ok");
}

/* Ready: there is something to compute on, and the store can be read. */
void route_readyz(struct gateway *gw, struct http_request *q)
{
	const char *why = gw->unready[0] ? gw->unready :
			  access(store_root(gw->store), R_OK | X_OK) < 0 ?
			  "the models directory cannot be read" : NULL;

	http_reply_text(q, why ? 503 : 200, "text/plain; charset=utf-8", why ? why : "ok");
}
