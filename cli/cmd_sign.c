/*
 * easel signin, easel signout: there is no account to sign in to; scripts written for
 * Ollama may ask all the same.
 */
#include <stdio.h>

#include "cli/cli.h"

static int run(const struct cli *cli, const void *values, char *const *args, size_t n,
	       struct err *err)
{
	(void)cli;
	(void)values;
	(void)args;
	(void)n;
	(void)err;
	printf("You are not signed in to ollama.com\n");
	return 0;
}

const struct command cmd_signin = {
	.name = "signin", .arguments = "", .brief = "Sign in to ollama.com", .hidden = true, .run = run,
};

const struct command cmd_signout = {
	.name = "signout", .arguments = "", .brief = "Sign out from ollama.com", .hidden = true,
	.run = run,
};
