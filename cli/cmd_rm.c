/*
 * easel rm: unloads and removes models, one after the other, up to the first failure.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/unload.h"
#include "common/fields.h"

/* A model that is not there is the deletion's error to tell. */
static int unload_first(struct client *c, const char *name, bool quiet, struct err *err)
{
	int r = unload_model(c, name, quiet, err);

	if (r == -ECANCELED)
		return r;
	if (r < 0 && !strcasestr(err->text, "not found"))
		fprintf(stderr, "Warning: unable to stop model '%s'\n", name);
	return 0;
}

static int remove_one(struct client *c, const char *name, bool quiet, struct err *err)
{
	json_t *body = json_pack("{s:o}", "name", text_json(name));
	int r = unload_first(c, name, quiet, err);

	if (r == 0)
		r = client_call(c, "DELETE", "/api/delete", body, NULL, err);
	if (r == 0 && !quiet)
		printf("deleted '%s'\n", name);
	json_decref(body);
	return r;
}

static int run(const struct cli *cli, const void *values, char *const *args, size_t n,
	       struct err *err)
{
	const bool quiet = ((const struct quiet_values *)values)->quiet;
	struct client c;
	int r = client_open(&c, cli, err);

	for (size_t i = 0; i < n && r == 0; i++)
		r = remove_one(&c, args[i], quiet, err);
	client_close(&c);
	return r;
}

const struct command cmd_rm = {
	.name = "rm", .arguments = "MODEL [MODEL...]", .brief = "Remove a model",
	.min_args = 1, .max_args = ARGS_ANY,
	.completions = { COMPLETE_MODEL, COMPLETE_MODEL },
	.flags = quiet_flags, .flags_size = sizeof(struct quiet_values), .run = run,
};
