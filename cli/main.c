/*
 * easel: the command line. Finds the command, reads its flags by its table, runs it,
 * and turns its error into one line and an exit status.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/help.h"
#include "cli/interrupt.h"
#include "cli/text.h"
#include "common/log.h"

static int run_with(const struct cli *cli, const struct command *command, int argc, char **argv,
		    void *values, char **args, struct err *err)
{
	size_t n;
	int r;

	if (command->defaults)
		memcpy(values, command->defaults, command->flags_size);
	r = options_parse(command->flags, argc, argv, values, args, &n, err);
	if (r == OPTIONS_HELP) {
		help_command(cli, command, stdout);
		return 0;
	}
	if (r == 0)
		r = options_check_count(command->min_args, command->max_args, n, err);
	return r < 0 ? r : command->run(cli, values, args, n, err);
}

static int run_command(const struct cli *cli, const struct command *command, int argc,
		       char **argv, struct err *err)
{
	void *values = calloc(1, command->flags_size + 1);
	char **args = calloc((size_t)argc + 1, sizeof *args);
	int r;

	if (!values || !args)
		r = err_errno(err, ENOMEM, "reading the arguments");
	else
		r = run_with(cli, command, argc, argv, values, args, err);
	free(values);
	free(args);
	return r;
}

/* "easel -v", "easel --help" and what is no command. */
static int run_root(const struct cli *cli, int argc, char **argv, struct err *err)
{
	struct root_values values = { false };
	char *none = NULL, *words[1];
	size_t n = 0;
	int r;

	if (argc > 0 && argv[0][0] != '-')
		return err_set(err, -EINVAL, "unknown command \"%s\" for \"%s\"", argv[0],
			       cli->program);
	r = options_parse(root_flags, argc > 0, argv, &values, words, &n, err);
	if (r < 0)
		return r;
	if (r == 0 && values.version)
		return cmd_version.run(cli, NULL, &none, 0, err);
	help_root(cli, stdout);
	return 0;
}

static int dispatch(const struct cli *cli, int argc, char **argv, struct err *err)
{
	const struct command *command = argc > 1 ? command_find(argv[1]) : NULL;

	if (command)
		return run_command(cli, command, argc - 2, argv + 2, err);
	return run_root(cli, argc - 1, argv + 1, err);
}

/* A missing standard descriptor would be taken by the first socket. */
static void fill_standard_descriptors(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			_exit(1);
}

/* Output that could not be written is a failure; a closed pipe ends us the usual way. */
static int flush_output(int r, struct err *err)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return r;
	if (errno == EPIPE) {
		signal(SIGPIPE, SIG_DFL);
		raise(SIGPIPE);
	}
	return r < 0 ? r : err_errno(err, errno, "writing to standard output");
}

static struct cli describe(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	const char *program = slash ? slash + 1 : path;

	if (!program || !*program)
		program = "easel";
	return (struct cli){ .program = program,
			     .env_prefix = strcmp(program, "ollama") ? "EASEL_" : "OLLAMA_" };
}

int main(int argc, char **argv)
{
	const struct cli cli = describe(argc > 0 ? argv[0] : NULL);
	struct err err = { 0 };
	int r;

	fill_standard_descriptors();
	log_open("cli", LOG_WARN);
	/* A server that hangs up is an error answer, not our end. */
	signal(SIGPIPE, SIG_IGN);
	r = flush_output(dispatch(&cli, argc, argv, &err), &err);
	if (r == -ECANCELED)
		interrupt_deliver();
	/* A server's sentence may hold what a terminal obeys. */
	text_make_printable(err.text, "\t\n");
	if (r < 0)
		fprintf(stderr, "Error: %s\n", err.text);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
