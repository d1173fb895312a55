/*
 * easel verify: whether the blobs of models are what their digests say; of all models when
 * none is named. Goes on after one that is damaged.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/listing.h"
#include "cli/progress.h"
#include "common/fields.h"

struct verification {
	struct progress progress;
	bool done;
};

static int on_line(void *ctx, const json_t *line, struct err *err)
{
	struct verification *v = ctx;
	const char *status = listing_text(line, "status");
	json_int_t total = json_integer_value(json_object_get(line, "total"));
	json_int_t completed = json_integer_value(json_object_get(line, "completed"));

	(void)err;
	v->done = !strcmp(status, "success");
	if (total > 0 && completed >= 0)
		progress_bytes(&v->progress, status, (uint64_t)completed, (uint64_t)total);
	else if (*status)
		progress_spin(&v->progress, status);
	return 0;
}

static int verify(struct client *c, const char *model, bool quiet, struct err *err)
{
	json_t *body = json_pack("{s:o}", "model", text_json(model));
	struct verification v = { 0 };
	int r;

	if (!quiet)
		progress_open(&v.progress, false);
	r = client_watch(c, &v.progress, err);
	if (r == 0)
		r = client_stream(c, "/api/verify", body, on_line, &v, err);
	c->progress = NULL;
	progress_close(&v.progress, r == 0);
	json_decref(body);
	if (r == 0 && !v.done)
		r = err_set(err, -EBADMSG, "the server's answer ended before %s was verified", model);
	if (r == 0 && !quiet)
		printf("verified '%s'\n", model);
	return r;
}

/* All but the last failure are told here. */
static int verify_each(struct client *c, char *const *names, size_t n, bool quiet, struct err *err)
{
	int result = 0;

	for (size_t i = 0; i < n; i++) {
		struct err one;
		int r = verify(c, names[i], quiet, &one);

		if (r == 0)
			continue;
		if (result < 0)
			fprintf(stderr, "Error: %s\n", err->text);
		*err = one;
		result = r;
		if (r == -ECANCELED)
			break;
	}
	return result;
}

static int verify_every(struct client *c, bool quiet, struct err *err)
{
	json_t *answer = NULL, *models, *model;
	size_t i;
	int r = client_call(c, "GET", "/api/tags", NULL, &answer, err);

	if (r < 0)
		return r;
	models = json_object_get(answer, "models");
	char **names = calloc(json_array_size(models) + 1, sizeof *names);

	if (names)
		json_array_foreach(models, i, model)
			names[i] = (char *)(uintptr_t)listing_text(model, "name");
	r = names ? verify_each(c, names, json_array_size(models), quiet, err) : err_errno(err, ENOMEM, "models");
	free(names);
	json_decref(answer);
	return r;
}

static int run(const struct cli *cli, const void *values, char *const *args, size_t n,
	       struct err *err)
{
	const bool quiet = ((const struct quiet_values *)values)->quiet;
	struct client c;
	int r = client_open(&c, cli, err);

	if (r == 0)
		r = n ? verify_each(&c, args, n, quiet, err) : verify_every(&c, quiet, err);
	client_close(&c);
	return r;
}

const struct command cmd_verify = {
	.name = "verify", .arguments = "[MODEL...]", .brief = "Check that models are stored undamaged",
	.max_args = ARGS_ANY, .completions = { COMPLETE_MODEL, COMPLETE_MODEL },
	.flags = quiet_flags, .flags_size = sizeof(struct quiet_values), .run = run,
};
