/*
 * easel run as a session on a terminal: typed lines are prompts or commands, settings
 * last until the session ends. Ctrl-C cancels a picture, not the session. Owns the
 * settings and the console.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/console.h"
#include "cli/image_path.h"
#include "cli/interrupt.h"
#include "cli/save.h"
#include "cli/text.h"
#include "cli/session.h"
#include "common/step_cache.h"

#define DEFAULT_SIDE 1024

struct session {
	struct client *client;
	const char *model;
	const json_t *show;             /* the server's answer about the model */
	struct picture_flags flags;
	char *negative;                 /* what flags.negative points to after /set */
	char step_cache[64];            /* and flags.step_cache */
	struct attachments attachments; /* of the flags: part of every picture */
	struct console console;
};

static const char help[] =
	"Commands:\n"
	"  /set width <n>     Set image width\n"
	"  /set height <n>    Set image height\n"
	"  /set steps <n>     Set denoising steps\n"
	"  /set seed <n>      Set random seed\n"
	"  /set negative <s>  Set negative prompt\n"
	"  /set strength <x>  Set how much an image changes\n"
	"  /set step_cache <how>  Set how steps reuse work\n"
	"  /show              Show current settings\n"
	"  /bye               Exit\n"
	"\n"
	"Or type a prompt to generate an image.\n"
	"\n";

/* ---- /show ---- */

/* A side that is not set: what the model's parameters say, one a line. */
static long long default_side(const struct session *s, const char *name)
{
	const char *line = json_string_value(json_object_get(s->show, "parameters"));
	size_t len = strlen(name);

	for (; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, len) && line[len] == ' ' && atoll(line + len) > 0)
			return atoll(line + len);
	}
	return DEFAULT_SIDE;
}

static void print_side(const struct session *s, const char *label, const char *name, int64_t side)
{
	fprintf(stderr, "  %-9s %lld\n", label, side > 0 ? (long long)side : default_side(s, name));
}

static void print_settings(const struct session *s)
{
	const struct picture_flags *f = &s->flags;

	fprintf(stderr, "Current settings:\n");
	print_side(s, "width:", "width", f->width);
	print_side(s, "height:", "height", f->height);
	fprintf(stderr, "  steps:    %lld\n", f->steps > 0 ? (long long)f->steps : 0);
	fprintf(stderr, "  seed:     %lld (0=random)\n", (long long)f->seed);
	if (f->negative && *f->negative)
		fprintf(stderr, "  negative: %s\n", f->negative);
	if (!isnan(f->strength))
		fprintf(stderr, "  strength: %g\n", f->strength);
	if (f->step_cache && *f->step_cache)
		fprintf(stderr, "  step_cache: %s\n", f->step_cache);
	fprintf(stderr, "\n");
}

/* ---- /set ---- */

#define MAX_NAMES 3

enum option_kind { OPTION_WHOLE, OPTION_STRENGTH, OPTION_NEGATIVE, OPTION_STEP_CACHE };

static const struct option {
	const char *names[MAX_NAMES];   /* the full one, shorter ones */
	enum option_kind kind;
	size_t offset;                  /* OPTION_WHOLE: the int64_t in struct picture_flags */
	int64_t least;
	const char *wanted;
} options[] = {
#define AT(member) offsetof(struct picture_flags, member)
	{ { "width", "w" }, OPTION_WHOLE, AT(width), 1, "a positive integer" },
	{ { "height", "h" }, OPTION_WHOLE, AT(height), 1, "a positive integer" },
	{ { "steps", "s" }, OPTION_WHOLE, AT(steps), 0, "a positive integer" },
	{ { "seed" }, OPTION_WHOLE, AT(seed), INT64_MIN, "an integer" },
	{ { "negative", "neg", "n" }, OPTION_NEGATIVE },
	{ { "strength" }, OPTION_STRENGTH, .wanted = "a number from 0 to 1" },
	{ { "step_cache", "step-cache" }, OPTION_STEP_CACHE,
	  .wanted = "off, teacache or reference, also with a threshold as in teacache:0.2" },
#undef AT
};

static const struct option *find_option(const char *name)
{
	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		for (size_t k = 0; k < MAX_NAMES && options[i].names[k]; k++)
			if (!strcasecmp(name, options[i].names[k]))
				return &options[i];
	return NULL;
}

static void set_negative(struct session *s, const char *value)
{
	char *copy = strdup(value);

	if (!copy) {
		fprintf(stderr, "Error: out of memory\n");
		return;
	}
	free(s->negative);
	s->negative = copy;
	s->flags.negative = copy;
	if (*copy)
		fprintf(stderr, "Set negative prompt to: %s\n", copy);
	else
		fprintf(stderr, "Cleared negative prompt\n");
}

static bool set_whole(struct session *s, const struct option *o, const char *text)
{
	long long value;
	char *end;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno || end == text || *end || value < o->least)
		return false;
	*(int64_t *)((char *)&s->flags + o->offset) = value;
	fprintf(stderr, "Set %s to %lld\n", o->names[0], value);
	return true;
}

static bool set_strength(struct session *s, const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= 0 && value <= 1))
		return false;
	s->flags.strength = value;
	fprintf(stderr, "Set strength to %g\n", value);
	return true;
}

static bool set_step_cache(struct session *s, const char *text)
{
	struct step_cache_setting ignored;
	struct err err;

	if (strlen(text) >= sizeof s->step_cache || step_cache_parse(text, &ignored, &err) < 0)
		return false;
	strcpy(s->step_cache, text);
	s->flags.step_cache = s->step_cache;
	fprintf(stderr, "Set step_cache to %s\n", text);
	return true;
}

/* "/set negative", "/set strength" and "/set step_cache" alone take the setting back. */
static void clear_option(struct session *s, const struct option *o)
{
	if (o && o->kind == OPTION_NEGATIVE) {
		set_negative(s, "");
	} else if (o && o->kind == OPTION_STRENGTH) {
		s->flags.strength = NAN;
		fprintf(stderr, "Cleared strength\n");
	} else if (o && o->kind == OPTION_STEP_CACHE) {
		s->flags.step_cache = NULL;
		fprintf(stderr, "Cleared step_cache\n");
	} else {
		fprintf(stderr, "Error: usage: /set <option> <value>\n");
	}
}

/* text: what follows "/set ", trimmed; cut in place. */
static void set_option(struct session *s, char *text)
{
	char *name = text + strspn(text, " \t\n"), *value = name + strcspn(name, " \t\n");
	const struct option *o;
	bool good = true;

	if (*value)
		*value++ = '\0';
	value += strspn(value, " \t\n");
	o = find_option(name);
	if (!*value)
		clear_option(s, o);
	else if (!o)
		fprintf(stderr, "Error: unknown option: %s (try /help)\n", name);
	else if (o->kind == OPTION_NEGATIVE)
		set_negative(s, value);
	else if (o->kind == OPTION_STEP_CACHE)
		good = set_step_cache(s, value);
	else
		good = o->kind == OPTION_WHOLE ? set_whole(s, o, value) : set_strength(s, value);
	if (!good)
		fprintf(stderr, "Error: %s must be %s\n", o->names[0], o->wanted);
}

/* ---- prompts ---- */

static int report(int r, enum picture_stage stage, const struct err *err)
{
	static const char *const prefixes[] = {
		[PICTURE_DRAW] = "Error", [PICTURE_DECODE] = "Error decoding image",
		[PICTURE_SAVE] = "Error saving image",
	};

	if (r == 0)
		printf("\n");
	else if (r == -ECANCELED)
		return interrupt_take() ? 0 : r;
	else
		fprintf(stderr, "%s: %s\n", prefixes[stage], err->text);
	return 0;
}

/* 0, or -ECANCELED for a signal that ends the session. */
static int draw(struct session *s, const char *line, struct err *err)
{
	enum picture_stage stage = PICTURE_DRAW;
	struct attachments a;
	char *prompt = NULL;
	int r = attachments_copy(&s->attachments, &a, err);

	if (r == 0)
		r = attachments_take(&a, line, &prompt, err);
	if (r == 0 && !*prompt)
		r = err_set(err, -EINVAL, "say what to make of the image");
	if (r == 0)
		r = picture_make(s->client, &s->flags, s->model, prompt, &a, &stage, err);
	free(prompt);
	attachments_finish(&a);
	return report(r, stage, err);
}

static bool begins(const char *line, const char *command)
{
	return !strncmp(line, command, strlen(command));
}

enum { SESSION_MORE, SESSION_END };

/* A trimmed line that is not empty, cut in place. */
static int handle_line(struct session *s, char *line, struct err *err)
{
	if (*line != '/' || attachments_begin(line))
		return draw(s, line, err);
	if (begins(line, "/bye"))
		return SESSION_END;
	if (begins(line, "/?") || begins(line, "/help"))
		fprintf(stderr, "%s", help);
	else if (begins(line, "/set "))
		set_option(s, line + strlen("/set "));
	else if (begins(line, "/show"))
		print_settings(s);
	else if (image_path_begins(line))
		return draw(s, line, err);
	else
		fprintf(stderr, "Unknown command: %.*s (try /help)\n",
			(int)strcspn(line, " \t\n"), line);
	return SESSION_MORE;
}

static int take_line(struct session *s, char *line, struct err *err)
{
	line = text_trim(line);
	if (!*line)
		return SESSION_MORE;
	/* A history that cannot be kept is told once and no reason to stop. */
	if (history_add(&s->console.history, line, err) < 0)
		fprintf(stderr, "Warning: %s\n", err->text);
	return handle_line(s, line, err);
}

static int loop(struct session *s, struct err *err)
{
	int r = SESSION_MORE;

	while (r == SESSION_MORE) {
		char *line = NULL;

		r = console_read(&s->console, s->client->signal_fd, &line, err);
		if (r == CONSOLE_INTERRUPT)
			printf("Use Ctrl + d or /bye to exit.\n");
		if (r >= 0)
			r = r == CONSOLE_END ? SESSION_END : SESSION_MORE;
		if (line)
			r = take_line(s, line, err);
		free(line);
	}
	return r < 0 ? r : 0;
}

static int load(struct session *s, struct err *err)
{
	int r = picture_load(s->client, &s->flags, s->model, err);

	if (r < 0 && r != -ECANCELED)
		err_prefix(err, "failed to load model");
	return r;
}

static int talk(struct session *s, struct err *err)
{
	int r = console_open(&s->console, err);

	if (r < 0)
		return r;
	r = load(s, err);
	if (r == 0)
		r = loop(s, err);
	console_close(&s->console);
	return r;
}

int session_run(struct client *c, const struct picture_flags *flags, const char *model,
		const json_t *show, struct err *err)
{
	struct session s = { .client = c, .model = model, .show = show, .flags = *flags };
	int r = picture_attach(flags, &s.attachments, err);

	if (r == 0)
		r = save_check(flags->output, err);
	if (r == 0)
		r = talk(&s, err);
	attachments_finish(&s.attachments);
	free(s.negative);
	return r;
}
