/* GET /v1/images/files/<name>: a picture that an answer gave as an URL. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/kept_files.h"
#include "gateway/reply.h"
#include "gateway/routes.h"

void route_file(struct gateway *gw, struct http_request *q)
{
	const char *name = q->path + strlen("/v1/images/files/");
	struct evbuffer *body = evbuffer_new();
	char type[KEPT_NAME_SIZE + 8];
	struct err err;

	if (kept_files_append(gw->files, name, body) == 0) {
		snprintf(type, sizeof(type), "image/%s", strrchr(name, '.') + 1);
		http_reply(q, 200, type, body);
	} else {
		err_set(&err, -ENOENT, "no such file: it is kept for an hour at most");
		reply_error(q, &err);
	}
	evbuffer_free(body);
}
