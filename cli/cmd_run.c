/*
 * easel run: its flags, and one prompt from the command line or standard input. On a
 * terminal without a prompt session.c takes over. Ctrl-C closes the connection, which
 * cancels the drawing.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/picture.h"
#include "cli/save.h"
#include "cli/session.h"
#include "cli/text.h"
#include "common/fields.h"
#include "common/limits.h"

_Static_assert(FLAG_LIST_MAX >= LIMIT_INPUT_IMAGES, "--image cannot be given often enough");

static const struct picture_flags defaults = { .guidance = NAN, .strength = NAN };

#define AT(member) offsetof(struct picture_flags, member)
static const struct flag flags[] = {
	{ "output", 'o', FLAG_TEXT, AT(output), "string",
	  "Save to this file or folder, or - for standard output" },
	{ "keepalive", 0, FLAG_TEXT, AT(keepalive), "string",
	  "Duration to keep the model loaded (e.g. 5m)" },
	{ "verbose", 0, FLAG_BOOL, AT(verbose), NULL, "Show timings for the picture" },
	{ "width", 0, FLAG_INT, AT(width), "int", "Image width", FLAGS_IMAGE },
	{ "height", 0, FLAG_INT, AT(height), "int", "Image height", FLAGS_IMAGE },
	{ "steps", 0, FLAG_INT, AT(steps), "int", "Denoising steps", FLAGS_IMAGE },
	{ "seed", 0, FLAG_INT, AT(seed), "int", "Random seed", FLAGS_IMAGE },
	{ "negative", 0, FLAG_TEXT, AT(negative), "str", "Negative prompt", FLAGS_IMAGE },
	{ "guidance", 0, FLAG_FLOAT, AT(guidance), "num", "Guidance scale (0 = off)", FLAGS_IMAGE },
	{ "step-cache", 0, FLAG_TEXT, AT(step_cache), "x",
	  "Reuse work between steps: off, teacache[:threshold] or reference[:threshold]", FLAGS_IMAGE },
	{ "image", 0, FLAG_LIST, AT(images), "file",
	  "Image to start from or to refer to (repeatable)", FLAGS_IMAGE },
	{ "strength", 0, FLAG_FLOAT, AT(strength), "num",
	  "How much the image changes, 0 to 1", FLAGS_IMAGE },
	{ "mask", 0, FLAG_TEXT, AT(mask), "file", "Image of what is drawn anew", FLAGS_IMAGE },
	{ "mask-mode", 0, FLAG_TEXT, AT(mask_mode), "by",
	  "What marks that in the mask: alpha (transparent) or white", FLAGS_IMAGE },
	{ "insecure", 0, FLAG_BOOL, AT(ignored), .group = FLAGS_IGNORED },
	{ "format", 0, FLAG_TEXT, AT(ignored_text), .group = FLAGS_IGNORED },
	{ "think", 0, FLAG_OPTIONAL, AT(ignored_text), .group = FLAGS_IGNORED },
	{ "hidethinking", 0, FLAG_BOOL, AT(ignored), .group = FLAGS_IGNORED },
	{ "nowordwrap", 0, FLAG_BOOL, AT(ignored), .group = FLAGS_IGNORED },
	{ "truncate", 0, FLAG_BOOL, AT(ignored), .group = FLAGS_IGNORED },
	{ "dimensions", 0, FLAG_INT, AT(ignored_int), .group = FLAGS_IGNORED },
	{ "imagegen", 0, FLAG_BOOL, AT(ignored), .group = FLAGS_IGNORED },
	{ 0 }
};
#undef AT

/* ---- the model ---- */

static bool has_capability(const json_t *model, const char *name)
{
	const json_t *value;
	size_t i;

	json_array_foreach(json_object_get(model, "capabilities"), i, value)
		if (json_is_string(value) && !strcmp(json_string_value(value), name))
			return true;
	return false;
}

static int check_model(struct client *c, const char *name, json_t **ret, struct err *err)
{
	json_t *body = json_pack("{s:o}", "name", text_json(name));
	int r = client_call(c, "POST", "/api/show", body, ret, err);

	if (r == 0 && !has_capability(*ret, "image"))
		r = err_set(err, -EINVAL, "\"%s\" does not support image generation", name);
	json_decref(body);
	return r;
}

/* ---- one prompt ---- */

/* All of standard input, where it is no terminal, without the new lines at its end. */
static int read_stdin(char **ret, struct err *err)
{
	size_t len;
	int r;

	*ret = NULL;
	if (isatty(STDIN_FILENO))
		return 0;
	r = text_read(STDIN_FILENO, "standard input", LIMIT_PROMPT, ret, &len, err);
	if (r < 0)
		return r;
	while (len && ((*ret)[len - 1] == '\n' || (*ret)[len - 1] == '\r'))
		(*ret)[--len] = '\0';
	return 0;
}

/* The prompt, and the files that it names to a. */
static int compose_prompt(struct client *c, char *const *words, size_t n, struct attachments *a,
			  char **ret, struct err *err)
{
	char *first;
	int r = read_stdin(&first, err);

	if (r == 0)
		r = attachments_take_words(a, first, words, n, ret, err);
	free(first);
	if (r < 0 || **ret)
		return r;
	return err_set(err, -EINVAL, "image generation models require a prompt. "
		       "Usage: %s run z-image \"your prompt here\"", c->cli->program);
}

static int draw(struct client *c, const struct picture_flags *f, const char *model,
		const char *prompt, const struct attachments *a, struct err *err)
{
	enum picture_stage stage;
	int r = picture_make(c, f, model, prompt, a, &stage, err);

	if (r == 0 || stage == PICTURE_DRAW)
		return r;
	return err_prefix(err, "failed to %s image", stage == PICTURE_SAVE ? "save" : "decode");
}

static int run_prompt(struct client *c, const struct picture_flags *f, char *const *args, size_t n,
		      struct err *err)
{
	struct attachments a;
	char *prompt = NULL;
	int r = picture_attach(f, &a, err);

	if (r == 0)
		r = compose_prompt(c, args + 1, n - 1, &a, &prompt, err);
	if (r == 0)
		r = save_check(f->output, err);
	if (r == 0)
		r = draw(c, f, args[0], prompt, &a, err);
	free(prompt);
	attachments_finish(&a);
	return r;
}

static int run(const struct cli *cli, const void *values, char *const *args, size_t n,
	       struct err *err)
{
	const bool session = n == 1 && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	json_t *model = NULL;
	struct client c;
	int r = client_open(&c, cli, err);

	if (r == 0)
		r = check_model(&c, args[0], &model, err);
	if (r == 0 && session)
		r = session_run(&c, values, args[0], model, err);
	else if (r == 0)
		r = run_prompt(&c, values, args, n, err);
	json_decref(model);
	client_close(&c);
	return r;
}

const struct command cmd_run = {
	.name = "run", .arguments = "MODEL [PROMPT]", .brief = "Run a model",
	.min_args = 1, .max_args = ARGS_ANY,
	.flags = flags, .flags_size = sizeof(struct picture_flags), .defaults = &defaults,
	.settings = SETTINGS_RUN, .run = run,
};
