/*
 * Prints the tables of commands, flags and settings as JSON, for scripts/generate.py to
 * make manuals and shell completions from. Runs while building; not installed.
 */
#include <jansson.h>
#include <stdio.h>

#include "cli/cli.h"
#include "common/settings.h"

static const char *const completions[] = {
	[COMPLETE_NOTHING] = "", [COMPLETE_FILE] = "file", [COMPLETE_FOLDER] = "folder",
	[COMPLETE_IMAGE] = "image", [COMPLETE_MODEL] = "model",
	[COMPLETE_MODEL_OR_IMAGE] = "model_or_image", [COMPLETE_COMMAND] = "command",
};

/* Flags that are accepted only for old scripts are no part of it. */
static json_t *flags_json(const struct flag *table)
{
	json_t *list = json_array();

	for (const struct flag *f = table; f && f->name; f++) {
		char letter[2] = { f->letter };

		if (f->group == FLAGS_IGNORED)
			continue;
		json_array_append_new(list, json_pack(
			"{s:s, s:s, s:b, s:s*, s:s, s:s, s:s*, s:s*, s:b}", "name", f->name, "letter", letter,
			"value", f->type != FLAG_BOOL, "word", f->word, "help", f->help,
			"completion", completions[f->completion], "choices", f->choices,
			"offers", f->offers, "repeatable", f->type == FLAG_LIST));
	}
	return list;
}

static json_t *command_json(const struct command *c)
{
	return json_pack("{s:s, s:s*, s:s, s:s, s:b, s:[s, s], s:b, s:o}", "name", c->name,
			 "alias", c->alias, "arguments", c->arguments, "brief", c->brief, "hidden",
			 c->hidden, "completions", completions[c->completions[0]],
			 completions[c->completions[1]], "several", c->max_args > 1,
			 "flags", flags_json(c->flags));
}

static json_t *settings_json(void)
{
	json_t *list = json_array();

	for (const struct setting *s = settings; s->name; s++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", s->name,
						      "default", s->default_text, "help", s->help));
	return list;
}

int main(void)
{
	json_t *list = json_array(), *all;
	int r;

	for (const struct command *const *c = commands; *c; c++)
		json_array_append_new(list, command_json(*c));
	all = json_pack("{s:o, s:o, s:o}", "commands", list, "flags", flags_json(root_flags),
			"settings", settings_json());
	r = json_dumpf(all, stdout, JSON_INDENT(1));
	json_decref(all);
	if (r < 0 || fflush(stdout) != 0) {
		fprintf(stderr, "Error: cannot print the tables\n");
		return 1;
	}
	return 0;
}
