#ifndef EASEL_CLI_CLI_H
#define EASEL_CLI_CLI_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "cli/options.h"
#include "common/err.h"

/* What every command is told about the process it runs in. */
struct cli {
	const char *program;            /* base name it was called by, for texts */
	const char *env_prefix;         /* "EASEL_", or "OLLAMA_" when called so */
};

#define ARGS_ANY UINT_MAX

/* Which settings the help of a command names. */
enum help_settings { SETTINGS_HOST, SETTINGS_RUN, SETTINGS_SERVER, SETTINGS_NONE };

/* One command: its row of the help, its flags and what it does. */
struct command {
	const char *name;
	const char *alias;              /* or NULL */
	const char *arguments;          /* as the usage line shows them, "" for none */
	const char *brief;
	unsigned min_args, max_args;
	enum completion completions[2]; /* of the first argument, of further ones */
	const struct flag *flags;       /* ends with a NULL name; NULL: none */
	size_t flags_size;              /* of the struct that the flags fill */
	const void *defaults;           /* that struct before parsing; NULL: zeroes */
	enum help_settings settings;
	bool hidden;                    /* works, but no row in the root help */
	/* 0, or a negative code with the sentence for "Error: ". */
	int (*run)(const struct cli *cli, const void *flags, char *const *args, size_t n_args,
		   struct err *err);
};

/* The flags of the program without a command. */
struct root_values {
	bool version;
};
extern const struct flag root_flags[];

/* All commands in the order of the help; NULL ends. */
extern const struct command *const commands[];
const struct command *command_find(const char *name);   /* by name or alias; NULL: none */

extern const struct command cmd_serve, cmd_create, cmd_show, cmd_run, cmd_stop, cmd_list,
	cmd_ps, cmd_cp, cmd_rm, cmd_help, cmd_version, cmd_pull, cmd_push, cmd_signin, cmd_signout,
	cmd_verify, cmd_names;

#endif
