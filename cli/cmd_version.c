/*
 * easel version, easel -v: the server's version, and the client's where it differs.
 */
#include <stdio.h>
#include <string.h>

#include "cli/client.h"
#include "cli/listing.h"

/*
 * The server's "version" is the one that Ollama's clients compare; easel's own is in
 * "easel".
 */
static void print_versions(const struct cli *cli, const json_t *answer)
{
	const char *version = listing_text(answer, "easel");

	if (!*version)
		version = listing_text(answer, "version");
	printf("%s version is %s\n", cli->program, version);
	if (strcmp(version, EASEL_VERSION))
		printf("Warning: client version is %s\n", EASEL_VERSION);
}

static int run(const struct cli *cli, const void *values, char *const *args, size_t n,
	       struct err *err)
{
	struct client c;
	json_t *answer = NULL;
	int r = client_init(&c, cli, err);

	(void)values;
	(void)args;
	(void)n;
	if (r == 0)
		r = client_call(&c, "GET", "/api/version", NULL, &answer, err);
	if (r == 0)
		print_versions(cli, answer);
	else
		printf("Warning: could not connect to a running %s instance\n"
		       "Warning: client version is %s\n", cli->program, EASEL_VERSION);
	json_decref(answer);
	client_close(&c);
	return 0;
}

const struct command cmd_version = {
	.name = "version", .arguments = "", .brief = "Show version information",
	.hidden = true, .run = run,
};
