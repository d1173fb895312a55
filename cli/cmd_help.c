/*
 * easel help: the texts of help.c by name.
 */
#include <stdio.h>

#include "cli/help.h"

static void unknown_topic(const struct cli *cli, char *const *args, size_t n)
{
	fprintf(stderr, "Unknown help topic [");
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "%s`%s`", i ? " " : "", args[i]);
	fprintf(stderr, "]\n");
	help_root(cli, stderr);
}

static int run(const struct cli *cli, const void *values, char *const *args, size_t n,
	       struct err *err)
{
	const struct command *command = n ? command_find(args[0]) : NULL;

	(void)values;
	(void)err;
	if (command)
		help_command(cli, command, stdout);
	else if (n)
		unknown_topic(cli, args, n);
	else
		help_root(cli, stdout);
	return 0;
}

const struct command cmd_help = {
	.name = "help", .arguments = "[COMMAND]", .brief = "Help about any command",
	.max_args = ARGS_ANY, .completions = { COMPLETE_COMMAND },
	 .settings = SETTINGS_NONE, .run = run,
};
