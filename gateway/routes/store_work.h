#ifndef EASEL_GATEWAY_ROUTES_STORE_WORK_H
#define EASEL_GATEWAY_ROUTES_STORE_WORK_H

#include "common/store.h"
#include "gateway/gateway.h"
#include "gateway/http.h"

/*
 * What a request does to the tags, on a disk thread with a handle of the store of its own;
 * one after the other, in order.
 */
struct store_work {
	struct model_name name, to;             /* what they are is run's matter */
	char digest[DIGEST_SIZE];
	int (*run)(struct store *s, const struct store_work *w, struct err *err);
	/* On the loop when that has succeeded, whether or not the client is still there; may be NULL. */
	void (*succeeded)(struct gateway *gw, const struct store_work *w);
};

/*
 * Answers 200 and nothing, or run's error, as -EIO unless it is -ENOENT: a disk that refuses
 * is not the client's fault. Copies w. -ENOMEM: nothing is answered.
 */
int store_work_start(struct gateway *gw, struct http_request *q, const struct store_work *w, struct err *err);

#endif
