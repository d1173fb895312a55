/*
 * easel stop: unloads a model.
 */
#include <string.h>

#include "cli/unload.h"

static int run(const struct cli *cli, const void *values, char *const *args, size_t n,
	       struct err *err)
{
	struct client c;
	int r = client_open(&c, cli, err);

	(void)n;
	if (r == 0) {
		r = unload_model(&c, args[0], ((const struct quiet_values *)values)->quiet, err);
		if (r < 0 && strcasestr(err->text, "not found"))
			r = err_set(err, r, "couldn't find model \"%s\" to stop", args[0]);
	}
	client_close(&c);
	return r;
}

const struct command cmd_stop = {
	.name = "stop", .arguments = "MODEL", .brief = "Stop a running model",
	.min_args = 1, .max_args = 1, .completions = { COMPLETE_MODEL },
	.flags = quiet_flags, .flags_size = sizeof(struct quiet_values), .run = run,
};
