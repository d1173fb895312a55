/*
 * easel cp: gives a model a second name.
 */
#include <stdio.h>

#include "cli/client.h"
#include "common/fields.h"

static int run(const struct cli *cli, const void *values, char *const *args, size_t n,
	       struct err *err)
{
	json_t *body = json_pack("{s:o, s:o}", "source", text_json(args[0]),
				 "destination", text_json(args[1]));
	struct client c;
	int r = client_open(&c, cli, err);

	(void)n;
	if (r == 0)
		r = client_call(&c, "POST", "/api/copy", body, NULL, err);
	if (r == 0 && !((const struct quiet_values *)values)->quiet)
		printf("copied '%s' to '%s'\n", args[0], args[1]);
	client_close(&c);
	json_decref(body);
	return r;
}

const struct command cmd_cp = {
	.name = "cp", .arguments = "SOURCE DESTINATION", .brief = "Copy a model",
	.min_args = 2, .max_args = 2, .completions = { COMPLETE_MODEL },
	.flags = quiet_flags, .flags_size = sizeof(struct quiet_values), .run = run,
};
