/*
 * Pull and push: the server moves the model, this shows how far it is. Owns the
 * display while it runs.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli/listing.h"
#include "cli/progress.h"
#include "cli/transfer.h"
#include "common/fields.h"

#define ID_CHARACTERS 12

struct transfer {
	struct progress progress;
	bool push;
	bool begun, done;
};

/* "pulling 5a6cb5be65b9:", "pulling model:"; of a push what the server says. */
static void label_of(const struct transfer *t, const char *status, const char *digest, char *ret,
		     size_t size)
{
	if (!strncmp(digest, "sha256:", 7))
		digest += 7;
	if (t->push)
		snprintf(ret, size, "%s", status);
	else
		snprintf(ret, size, "pulling %.*s:", ID_CHARACTERS, digest);
}

static int on_line(void *ctx, const json_t *line, struct err *err)
{
	struct transfer *t = ctx;
	const char *status = listing_text(line, "status"), *digest = listing_text(line, "digest");
	json_int_t total = json_integer_value(json_object_get(line, "total"));
	json_int_t completed = json_integer_value(json_object_get(line, "completed"));
	char label[80];

	(void)err;
	t->begun = true;
	t->done = !strcmp(status, "success");
	if (!*digest && *status)
		progress_spin(&t->progress, status);
	/* What has not begun is not shown. */
	if (!*digest || completed <= 0 || total <= 0)
		return 0;
	label_of(t, status, digest, label, sizeof label);
	progress_bytes(&t->progress, label, (uint64_t)completed, (uint64_t)total);
	return 0;
}

static int transfer(struct client *c, const char *path, const char *model,
		    const struct transfer_flags *f, struct transfer *t, struct err *err)
{
	json_t *body = json_pack("{s:o, s:b}", "name", text_json(model), "insecure", f->insecure);
	int r;

	if (!f->quiet)
		progress_open(&t->progress, false);
	r = client_watch(c, &t->progress, err);
	if (r == 0)
		r = client_stream(c, path, body, on_line, t, err);
	c->progress = NULL;
	progress_close(&t->progress, true);
	json_decref(body);
	if (r == 0 && !t->done)
		r = err_set(err, -EBADMSG, "the server's answer ended before %s was %s", model,
			    t->push ? "pushed" : "pulled");
	return r;
}

int transfer_pull(struct client *c, const char *model, const struct transfer_flags *f,
		  struct err *err)
{
	struct transfer t = { .push = false };
	int r = transfer(c, "/api/pull", model, f, &t, err);

	/* Whatever fails in a registry is told behind the first line. */
	return (r == -EREMOTEIO || r == -ENOENT) && !t.begun ? -EOPNOTSUPP : r;
}

int transfer_push(struct client *c, const char *model, const struct transfer_flags *f,
		  struct err *err)
{
	struct transfer t = { .push = true };

	return transfer(c, "/api/push", model, f, &t, err);
}
