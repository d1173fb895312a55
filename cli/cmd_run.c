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
#include "cli/listing.h"
#include "cli/picture.h"
#include "cli/picture_metadata.h"
#include "cli/save.h"
#include "cli/session.h"
#include "cli/text.h"
#include "cli/transfer.h"
#include "common/fields.h"
#include "common/limits.h"
#include "common/name.h"

/* What is to be drawn, as far as the command line and a file say it. */
struct job {
	const char *model;
	char *const *words;             /* of the prompt */
	size_t n_words;
	const char *prompt;             /* of the file, when there are no words; else NULL */
	json_t *metadata;               /* of the file; NULL: --from was not given */
};

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

static int show(struct client *c, const char *name, json_t **ret, struct err *err)
{
	json_t *body = json_pack("{s:o}", "name", text_json(name));
	int r = client_call(c, "POST", "/api/show", body, ret, err);

	json_decref(body);
	return r;
}

/* A server that cannot pull has said all there is to say: *err stays what it is. */
static int pull(struct client *c, const struct picture_flags *f, const char *name, struct err *err)
{
	const struct transfer_flags flags = { .insecure = f->insecure, .quiet = f->quiet };
	struct err why;
	int r = transfer_pull(c, name, &flags, &why);

	if (r < 0 && r != -EOPNOTSUPP)
		*err = why;
	return r;
}

/* What the server knows about the model, which is pulled when it is not there. */
static int find_model(struct client *c, const struct picture_flags *f, const char *name,
		      json_t **ret, struct err *err)
{
	int r = show(c, name, ret, err);

	if (r == -ENOENT) {
		r = pull(c, f, name, err);
		if (r == 0)
			r = show(c, name, ret, err);
	}
	if (r == 0 && !has_capability(*ret, "image"))
		r = err_set(err, -EINVAL, "\"%s\" does not support image generation", name);
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

/*
 * The prompt, and the files that it names to a; fallback (or NULL) when there is none, as it
 * stands.
 */
static int compose_prompt(struct client *c, char *const *words, size_t n, const char *fallback,
			  struct attachments *a, char **ret, struct err *err)
{
	char *first;
	int r = read_stdin(&first, err);

	if (r == 0)
		r = attachments_take_words(a, first, words, n, ret, err);
	free(first);
	if (r < 0 || **ret)
		return r;
	if (fallback && *fallback) {
		free(*ret);
		*ret = strdup(fallback);
		return *ret ? 0 : err_errno(err, ENOMEM, "reading the prompt");
	}
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

/* A file whose name was mistyped is a word of the prompt; --from has told what is missing. */
static int check_strength(const struct picture_flags *f, const struct attachments *a,
			  struct err *err)
{
	if (f->from || isnan(f->strength) || json_array_size(a->images))
		return 0;
	return err_set(err, -EINVAL, "--strength says how much a picture changes: name an existing "
		       "PNG, JPEG or WebP file too");
}

static int check_output(const struct picture_flags *f, struct err *err)
{
	if (f->json && f->output && !strcmp(f->output, "-"))
		return err_set(err, -EINVAL, "--json and --output - both write to standard output: "
			       "name a file");
	return save_check(f->output, err);
}

static int run_prompt(struct client *c, const struct picture_flags *f, const struct job *job,
		      struct err *err)
{
	struct attachments a;
	char *prompt = NULL;
	int r = picture_attach(f, &a, err);

	if (r == 0)
		r = compose_prompt(c, job->words, job->n_words, job->prompt, &a, &prompt, err);
	if (r == 0)
		r = check_strength(f, &a, err);
	if (r == 0)
		r = check_output(f, err);
	if (r == 0)
		r = draw(c, f, job->model, prompt, &a, err);
	free(prompt);
	attachments_finish(&a);
	return r;
}

/* ---- a picture once more ---- */

/* The digest of the model as the server has it now; NULL when it does not say. */
static const char *installed_digest(const json_t *tags, const char *model)
{
	struct model_name wanted, name;
	const json_t *row;
	size_t i;

	if (name_parse(model, &wanted, NULL) < 0)
		return NULL;
	json_array_foreach(json_object_get(tags, "models"), i, row)
		if (name_parse(listing_text(row, "name"), &name, NULL) == 0 &&
		    name_equal(&name, &wanted))
			return json_string_value(json_object_get(row, "digest"));
	return NULL;
}

/* A digest with or without "sha256:", whole or only its beginning. */
static bool same_digest(const char *a, const char *b)
{
	const size_t prefix = strlen("sha256:");
	size_t len;

	a += strncmp(a, "sha256:", prefix) ? 0 : prefix;
	b += strncmp(b, "sha256:", prefix) ? 0 : prefix;
	len = strlen(a) < strlen(b) ? strlen(a) : strlen(b);
	return !strncmp(a, b, len);
}

/* A model that was made anew since draws another picture: that is no error, but told. */
static int warn_of_changes(struct client *c, const struct job *job, const char *file,
			   struct err *err)
{
	const char *drawn_by = listing_text(job->metadata, "digest"), *here;
	json_t *tags = NULL;
	int r;

	if (!*drawn_by || strcmp(job->model, listing_text(job->metadata, "model")))
		return 0;
	r = client_call(c, "GET", "/api/tags", NULL, &tags, err);
	here = r == 0 ? installed_digest(tags, job->model) : NULL;
	if (here && !same_digest(here, drawn_by))
		fprintf(stderr, "Warning: %s was drawn by another version of %s: the picture may "
			"differ\n", file, job->model);
	json_decref(tags);
	return r;
}

/* Pictures are no part of a picture. */
static void warn_of_images(const struct picture_flags *f, const json_t *metadata)
{
	json_int_t n = json_integer_value(json_object_get(metadata, "images"));

	if (n > 0 && !f->images.n)
		fprintf(stderr, "Warning: %s was drawn from %lld other picture%s, not kept in it: name "
			"%s with --image\n", f->from, (long long)n, n > 1 ? "s" : "",
			n > 1 ? "them" : "it");
}

static int read_metadata(struct picture_flags *f, struct job *job, struct err *err)
{
	int r = picture_metadata_read(f->from, &job->metadata, err);

	if (r < 0)
		return r;
	r = picture_options_fill(f, job->metadata, err);
	if (r < 0)
		return err_prefix(err, "%s", f->from);
	warn_of_images(f, job->metadata);
	job->prompt = listing_text(job->metadata, "prompt");
	if (!job->model)
		job->model = listing_text(job->metadata, "model");
	if (!*job->model)
		return err_set(err, -EINVAL, "%s does not name a model: name one", f->from);
	return 0;
}

/* ---- the command ---- */

static int run_job(const struct cli *cli, struct picture_flags *f, const struct job *job,
		   struct err *err)
{
	const bool session = !f->from && !job->n_words && isatty(STDIN_FILENO) &&
			     isatty(STDOUT_FILENO);
	json_t *model = NULL;
	struct client c;
	int r = client_open(&c, cli, err);

	if (r == 0)
		r = find_model(&c, f, job->model, &model, err);
	if (r == 0 && f->from)
		r = warn_of_changes(&c, job, f->from, err);
	if (r == 0 && !f->quiet && !f->json)
		f->graphics = graphics_detect();
	if (r == 0 && session)
		r = session_run(&c, f, job->model, model, err);
	else if (r == 0)
		r = run_prompt(&c, f, job, err);
	json_decref(model);
	client_close(&c);
	return r;
}

static int run(const struct cli *cli, const void *values, char *const *args, size_t n,
	       struct err *err)
{
	struct picture_flags f = *(const struct picture_flags *)values;
	struct job job = { .model = n ? args[0] : NULL, .words = args + (n > 0),
			   .n_words = n ? n - 1 : 0 };
	int r = f.from ? read_metadata(&f, &job, err)
		       : options_check_count(1, ARGS_ANY, n, err);

	if (r == 0)
		r = run_job(cli, &f, &job, err);
	json_decref(job.metadata);
	return r;
}

const struct command cmd_run = {
	.name = "run", .arguments = "MODEL [PROMPT]", .brief = "Run a model",
	.max_args = ARGS_ANY,
	.completions = { COMPLETE_MODEL, COMPLETE_IMAGE },
	.flags = picture_options, .flags_size = sizeof(struct picture_flags),
	.defaults = &picture_defaults,
	.settings = SETTINGS_RUN, .run = run,
};
