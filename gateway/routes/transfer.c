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

static int check_model(const char *model, const char *missing, struct err *err)
{
	struct model_name name;

	if (!*model)
		return err_set(err, -EINVAL, "%s", missing);
	return model_name_read(model, "remote model is unavailable", &name, err);
}

static void refuse(struct http_request *q, const char *go_type, const char *missing,
		   const char *refusal)
{
	struct transfer_body b = { .stream = true };
	struct err err;
	char *model;
	int r;

	if (body_read(q->body, q->body_len, go_type, transfer_fields, &b, NULL, &err) < 0) {
		reply_invalid(q, &err);
		return;
	}
	model = body_take_first(&b.model, &b.name);
	r = model ? check_model(model, missing, &err) : err_set(&err, -ENOMEM, "out of memory");
	if (r < 0) {
		reply_error(q, &err);
	} else {
		/* As an error of the transfer itself will be told. */
		err_set(&err, -EINVAL, "%s", refusal);
		reply_plain_error(q, &err);
	}
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
