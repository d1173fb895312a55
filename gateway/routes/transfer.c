/* POST /api/pull and /api/push: checked as they will be, then refused: there is no registry client. */
#include <errno.h>
#include <stdlib.h>

#include "gateway/bodies.h"
#include "gateway/models.h"
#include "gateway/reply.h"
#include "gateway/routes.h"

struct transfer_body {
	char *model, *name, *username, *password;
	bool insecure, stream;
};

static const struct field transfer_fields[] = {
	FIELD(struct transfer_body, model, STR),
	FIELD(struct transfer_body, name, STR),
	FIELD(struct transfer_body, username, STR),
	FIELD(struct transfer_body, password, STR),
	FIELD(struct transfer_body, insecure, BOOL),
	FIELD(struct transfer_body, stream, BOOL),
	{ 0 }
};

static void refuse(struct http_request *q, const char *go_type, const char *missing,
		   const char *refusal)
{
	struct transfer_body b = { .stream = true };
	struct model_name name;
	struct err err;
	char *model;

	if (body_read(q->body, q->body_len, go_type, transfer_fields, &b, NULL, &err) < 0) {
		reply_invalid(q, &err);
		return;
	}
	model = body_take_first(&b.model, &b.name);
	if (!model)
		err_set(&err, -ENOMEM, "out of memory");
	else if (!*model)
		err_set(&err, -EINVAL, "%s", missing);
	else if (model_name_read(model, "remote model is unavailable", &name, &err) == 0)
		err_set(&err, -EINVAL, "%s", refusal);
	reply_plain_error(q, &err);
	free(model);
	fields_clear(transfer_fields, &b);
}

void route_pull(struct gateway *gw, struct http_request *q)
{
	(void)gw;
	refuse(q, "api.PullRequest", "invalid model name", "pulling models is not supported yet: "
	       "make one from a folder on the server's machine with /api/create");
}

void route_push(struct gateway *gw, struct http_request *q)
{
	(void)gw;
	refuse(q, "api.PushRequest", "model is required", "pushing models is not supported yet");
}
