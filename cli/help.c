/*
 * Help texts, printed from the command table, the flag tables and the settings table,
 * so that no text can name what the program does not have.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/help.h"
#include "common/settings.h"

#define MAX_FLAGS 32
#define NAME_COLUMN 11         /* least width of the names in the root help */
#define ENV_COLUMN 27

/* The command line's own; the server reads the table of settings.h. */
static const struct setting run_settings[] = {
	{ "GRAPHICS", "", "pictures in the terminal: kitty, iterm2, sixel or none (default: what it can)" },
	{ "NOHISTORY", "", "Do not preserve readline history" },
};

/* "  -f, --file string": what stands left of the description. */
static void flag_left(const struct flag *f, char *ret, size_t size)
{
	char letter[5] = "    ";

	if (f->letter)
		snprintf(letter, sizeof letter, "-%c, ", f->letter);
	snprintf(ret, size, "  %s--%s%s%s", letter, f->name, f->word ? " " : "",
		 f->word ? f->word : "");
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct flag *const *)a)->name, (*(const struct flag *const *)b)->name);
}

static void print_flags(const struct flag *const *list, size_t n, FILE *out)
{
	char left[80];
	int width = 0;

	for (size_t i = 0; i < n; i++) {
		flag_left(list[i], left, sizeof left);
		width = (int)strlen(left) > width ? (int)strlen(left) : width;
	}
	for (size_t i = 0; i < n; i++) {
		flag_left(list[i], left, sizeof left);
		fprintf(out, "%-*s   %s\n", width, left, list[i]->help);
	}
}

static size_t select_flags(const struct flag *table, enum flag_group group,
			   const struct flag **list, size_t n)
{
	for (; table && table->name && n < MAX_FLAGS; table++)
		if (table->group == group)
			list[n++] = table;
	return n;
}

/* name: of the command, or of the program. */
static void print_general(const char *name, const struct flag *table, FILE *out)
{
	const struct flag *list[MAX_FLAGS + 1];
	char text[80];
	const struct flag help = { "help", .letter = 'h', .help = text };
	size_t n = 0;

	snprintf(text, sizeof text, "help for %s", name);
	list[n++] = &help;
	n = select_flags(table, FLAGS_GENERAL, list, n);
	qsort(list, n, sizeof *list, by_name);
	fprintf(out, "\nFlags:\n");
	print_flags(list, n, out);
}

static void print_image_flags(const struct command *command, FILE *out)
{
	const struct flag *list[MAX_FLAGS];
	size_t n = select_flags(command->flags, FLAGS_IMAGE, list, 0);

	if (!n)
		return;
	fprintf(out, "\nImage Generation Flags (experimental):\n");
	print_flags(list, n, out);
}

static bool concerns(const struct command *command, const struct setting *s)
{
	return command->settings == SETTINGS_SERVER || !strcmp(s->name, "HOST");
}

static void print_setting(const struct cli *cli, const struct setting *s, FILE *out)
{
	char name[64];

	snprintf(name, sizeof name, "%s%s", cli->env_prefix, s->name);
	fprintf(out, "      %-*s   %s", ENV_COLUMN, name, s->help);
	if (s->default_text && *s->default_text)
		fprintf(out, " (default %s)", s->default_text);
	fputc('\n', out);
}

static void print_settings(const struct cli *cli, const struct command *command, FILE *out)
{
	if (command->settings == SETTINGS_NONE)
		return;
	fprintf(out, "\nEnvironment Variables:\n");
	for (const struct setting *s = settings; s->name; s++)
		if (concerns(command, s))
			print_setting(cli, s, out);
	for (size_t i = 0; i < sizeof run_settings / sizeof *run_settings; i++)
		if (command->settings == SETTINGS_RUN)
			print_setting(cli, &run_settings[i], out);
}

void help_command(const struct cli *cli, const struct command *command, FILE *out)
{
	fprintf(out, "%s\n\nUsage:\n  %s %s%s%s [flags]\n", command->brief, cli->program,
		command->name, *command->arguments ? " " : "", command->arguments);
	if (command->alias)
		fprintf(out, "\nAliases:\n  %s, %s\n", command->name, command->alias);
	print_general(command->name, command->flags, out);
	print_image_flags(command, out);
	print_settings(cli, command, out);
}

void help_root(const struct cli *cli, FILE *out)
{
	fprintf(out, "Image generation on the machine in front of you\n\n"
		"Usage:\n  %s [flags]\n  %s [command]\n\nAvailable Commands:\n",
		cli->program, cli->program);
	for (const struct command *const *c = commands; *c; c++)
		if (!(*c)->hidden)
			fprintf(out, "  %-*s %s\n", NAME_COLUMN, (*c)->name, (*c)->brief);
	print_general(cli->program, root_flags, out);
	fprintf(out, "\nUse \"%s [command] --help\" for more information about a command.\n",
		cli->program);
}
