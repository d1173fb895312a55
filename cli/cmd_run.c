/*
 * easel run: a prompt becomes a picture in a file. Shows the steps, saves the PNG and
 * says where. Ctrl-C closes the connection, which cancels the drawing.
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/progress.h"
#include "cli/save.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "common/base64.h"
#include "common/buf.h"
#include "common/fields.h"
#include "common/limits.h"
#include "common/timefmt.h"

struct run_flags {
	int64_t width, height, steps, seed;     /* <= 0: the model's own, a random seed */
	const char *negative;
	double guidance;                        /* NaN: not given */
	const char *keepalive, *output;
	bool verbose;
	bool ignored;
	const char *ignored_text;
	int64_t ignored_int;
};

static const struct run_flags defaults = { .guidance = NAN };

#define AT(member) offsetof(struct run_flags, member)
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

/* ---- the request ---- */

/* All of standard input, where it is no terminal, then the arguments, by single blanks. */
static int compose_prompt(char *const *words, size_t n, char **ret, struct err *err)
{
	struct buf prompt = BUF_INIT(LIMIT_PROMPT);
	char *text;
	size_t len;
	int r;

	if (!isatty(STDIN_FILENO)) {
		r = text_read(STDIN_FILENO, "standard input", LIMIT_PROMPT, &text, &len, err);
		if (r < 0)
			return r;
		while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
			len--;
		buf_append(&prompt, text, len);
		free(text);
	}
	for (size_t i = 0; i < n; i++) {
		buf_puts(&prompt, prompt.len ? " " : "");
		buf_puts(&prompt, words[i]);
	}
	buf_puts(&prompt, "");
	*ret = buf_take(&prompt, &len);
	return *ret ? 0 : err_set(err, -EMSGSIZE, "the prompt is larger than %u bytes", LIMIT_PROMPT);
}

static int need_prompt(const struct cli *cli, const char *prompt, struct err *err)
{
	if (*prompt)
		return 0;
	return err_set(err, -EINVAL, "image generation models require a prompt. "
		       "Usage: %s run z-image \"your prompt here\"", cli->program);
}

/* A Go duration, for ever as -1. */
static int keep_alive_value(const char *text, json_t **ret, struct err *err)
{
	char duration[TIME_TEXT_SIZE];
	int64_t ns;
	int r = duration_parse(text, &ns, err);

	if (r < 0)
		return r;
	duration_format(ns, duration);
	*ret = ns < 0 ? json_integer(-1) : json_string(duration);
	return 0;
}

static void put_positive(json_t *object, const char *name, int64_t value)
{
	if (value > 0)
		json_object_set_new(object, name, json_integer(value));
}

static int make_request(const struct run_flags *f, const char *model, const char *prompt,
			json_t **ret, struct err *err)
{
	json_t *keep_alive = NULL;
	json_t *body;
	int r;

	r = f->keepalive ? keep_alive_value(f->keepalive, &keep_alive, err) : 0;
	if (r < 0)
		return r;
	body = json_object();
	json_object_set_new(body, "model", text_json(model));
	json_object_set_new(body, "prompt", text_json(prompt));
	put_positive(body, "width", f->width);
	put_positive(body, "height", f->height);
	put_positive(body, "steps", f->steps);
	if (f->seed > 0)
		json_object_set_new(body, "options", json_pack("{s:I}", "seed", (json_int_t)f->seed));
	if (f->negative && *f->negative)
		json_object_set_new(body, "negative", text_json(f->negative));
	if (!isnan(f->guidance))
		json_object_set_new(body, "guidance", json_real(f->guidance));
	if (keep_alive)
		json_object_set_new(body, "keep_alive", keep_alive);
	*ret = body;
	return body ? 0 : err_errno(err, ENOMEM, "writing the request");
}

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

static int check_model(struct client *c, const char *name, struct err *err)
{
	json_t *body = json_pack("{s:o}", "name", text_json(name)), *model = NULL;
	int r = client_call(c, "POST", "/api/show", body, &model, err);

	if (r == 0 && !has_capability(model, "image"))
		r = err_set(err, -EINVAL, "\"%s\" does not support image generation", name);
	json_decref(model);
	json_decref(body);
	return r;
}

/* ---- the picture ---- */

struct drawing {
	struct progress progress;
	json_t *image;                  /* base64 of the PNG */
	int64_t total_ns, load_ns;
};

static int on_line(void *ctx, const json_t *line, struct err *err)
{
	struct drawing *d = ctx;
	json_int_t total = json_integer_value(json_object_get(line, "total"));
	json_int_t completed = json_integer_value(json_object_get(line, "completed"));
	json_t *image = json_object_get(line, "image");

	(void)err;
	if (total > 0 && completed >= 0)
		progress_steps(&d->progress, (uint64_t)completed, (uint64_t)total);
	if (json_is_string(image)) {
		json_decref(d->image);
		d->image = json_incref(image);
		d->total_ns = json_integer_value(json_object_get(line, "total_duration"));
		d->load_ns = json_integer_value(json_object_get(line, "load_duration"));
	}
	return 0;
}

static int draw(struct client *c, const json_t *body, struct drawing *d, struct err *err)
{
	int r;

	progress_open(&d->progress, false);
	r = client_watch(c, &d->progress, err);
	if (r == 0) {
		progress_spin(&d->progress, "");
		r = client_stream(c, "/api/generate", body, on_line, d, err);
	}
	c->progress = NULL;
	progress_close(&d->progress, false);
	if (r == 0 && !d->image)
		r = err_set(err, -EBADMSG,
			    "image generation completed but no image was returned");
	return r;
}

static int save(const struct run_flags *f, const char *prompt, const json_t *image,
		struct err *err)
{
	unsigned char *png;
	char *path;
	size_t len;
	int r = base64_decode(json_string_value(image), json_string_length(image), &png, &len, err);

	if (r < 0)
		return err_prefix(err, "failed to decode image");
	r = save_picture(f->output, prompt, png, len, &path, err);
	if (r == 0 && path) {
		terminal_show_png(png, len);
		printf("Image saved to: %s\n", path);
		free(path);
	}
	free(png);
	return r;
}

static void print_duration(const char *label, int64_t ns)
{
	const int64_t unit = ns >= 1000000000 ? 100000000 : 1000000;
	char text[TIME_TEXT_SIZE];

	if (ns <= 0)
		return;
	duration_format((ns + unit / 2) / unit * unit, text);
	fprintf(stderr, "%-21s %s\n", label, text);
}

static int draw_and_save(struct client *c, const struct run_flags *f, const char *prompt,
			 const json_t *body, struct err *err)
{
	struct drawing d = { 0 };
	int r = draw(c, body, &d, err);

	if (r == 0)
		r = save(f, prompt, d.image, err);
	if (r == 0 && f->verbose) {
		print_duration("total duration:", d.total_ns);
		print_duration("load duration:", d.load_ns);
	}
	json_decref(d.image);
	return r;
}

static int run_prompt(struct client *c, const struct run_flags *f, char *const *args, size_t n,
		      struct err *err)
{
	json_t *body = NULL;
	char *prompt = NULL;
	int r = compose_prompt(args + 1, n - 1, &prompt, err);

	if (r == 0)
		r = need_prompt(c->cli, prompt, err);
	if (r == 0)
		r = save_check(f->output, err);
	if (r == 0)
		r = make_request(f, args[0], prompt, &body, err);
	if (r == 0)
		r = draw_and_save(c, f, prompt, body, err);
	json_decref(body);
	free(prompt);
	return r;
}

static int run(const struct cli *cli, const void *values, char *const *args, size_t n,
	       struct err *err)
{
	struct client c;
	int r = client_open(&c, cli, err);

	if (r == 0)
		r = check_model(&c, args[0], err);
	if (r == 0)
		r = run_prompt(&c, values, args, n, err);
	client_close(&c);
	return r;
}

const struct command cmd_run = {
	.name = "run", .arguments = "MODEL [PROMPT]", .brief = "Run a model",
	.min_args = 1, .max_args = ARGS_ANY,
	.flags = flags, .flags_size = sizeof(struct run_flags), .defaults = &defaults,
	.run = run,
};
