/*
 * Fuzz: command lines. The first byte chooses the command, words are separated by new
 * lines. Every word ends as an argument, as a flag or in a refusal.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "tests/fuzz/fuzz.h"

#define MAX_WORDS 64

static const struct command *choose(uint8_t byte)
{
	size_t n = 0;

	while (commands[n])
		n++;
	return commands[byte % n];
}

/* Cuts text at its new lines. */
static int split(char *text, char **words)
{
	int n = 0;

	for (char *word; n < MAX_WORDS && (word = strsep(&text, "\n"));)
		words[n++] = word;
	return n;
}

static void parse(const struct command *command, char *text)
{
	char *words[MAX_WORDS], *args[MAX_WORDS];
	int n = split(text, words);
	void *values = calloc(1, command->flags_size + 1);
	struct err err = { 0 };
	size_t n_args;
	int r;

	fuzz_require(values != NULL);
	if (command->defaults)
		memcpy(values, command->defaults, command->flags_size);
	r = options_parse(command->flags, n, words, values, args, &n_args, &err);
	fuzz_require(n_args <= (size_t)n);
	fuzz_require(r == 0 || r == OPTIONS_HELP || (r == -EINVAL && *err.text));
	for (size_t i = 0; i < n_args; i++)
		fuzz_require(args[i] >= text);
	if (r == 0)
		options_check_count(command->min_args, command->max_args, n_args, &err);
	free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = len ? malloc(len) : NULL;

	if (!text)
		return 0;
	memcpy(text, data + 1, len - 1);
	text[len - 1] = '\0';
	parse(choose(data[0]), text);
	free(text);
	return 0;
}
