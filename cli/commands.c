/*
 * The table of all commands, in the order of the help.
 */
#include <string.h>

#include "cli/cli.h"

const struct command *const commands[] = {
	&cmd_serve, &cmd_create, &cmd_show, &cmd_run, &cmd_stop, &cmd_pull, &cmd_push, &cmd_list,
	&cmd_ps, &cmd_cp, &cmd_rm, &cmd_verify, &cmd_help, &cmd_version, &cmd_signin, &cmd_signout, &cmd_names,
	NULL
};

const struct flag root_flags[] = {
	{ "version", 'v', FLAG_BOOL, offsetof(struct root_values, version), NULL,
	  "Show version information" },
	{ 0 }
};

const struct command *command_find(const char *name)
{
	for (const struct command *const *c = commands; *c; c++)
		if (!strcmp((*c)->name, name) || ((*c)->alias && !strcmp((*c)->alias, name)))
			return *c;
	return NULL;
}
