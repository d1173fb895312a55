/*
 * easel __names: the names of the models for shell completions, one a line. Whoever
 * presses Tab waits for it: it gives up soon, and silently.
 */
#include <stdio.h>

#include "cli/client.h"
#include "cli/listing.h"
#include "common/name.h"

#define PATIENCE_MS 1000

/* A shell puts it on its command line: nothing but names. */
static void print_name(const char *text)
{
	struct model_name name;

	if (name_parse(text, &name, NULL) == 0)
		printf("%s\n", text);
}

static int run(const struct cli *cli, const void *values, char *const *args, size_t n,
	       struct err *err)
{
	json_t *answer = NULL, *model;
	struct client c;
	size_t i;
	int r = client_init(&c, cli, err);

	(void)values;
	(void)args;
	(void)n;
	if (r == 0) {
		client_limit(&c, PATIENCE_MS);
		r = client_call(&c, "GET", "/api/tags", NULL, &answer, err);
	}
	if (r == 0)
		json_array_foreach(json_object_get(answer, "models"), i, model)
			print_name(listing_text(model, "name"));
	json_decref(answer);
	client_close(&c);
	return 0;
}

const struct command cmd_names = {
	.name = "__names", .arguments = "", .brief = "List names of models for shell completions",
	.hidden = true, .run = run,
};
