#ifndef EASEL_CLI_HELP_H
#define EASEL_CLI_HELP_H

#include <stdio.h>

#include "cli/cli.h"

/* Help as Ollama's command line lays it out, made from the command table. */
void help_root(const struct cli *cli, FILE *out);
void help_command(const struct cli *cli, const struct command *command, FILE *out);

#endif
