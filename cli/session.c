/*
 * easel run as a session on a terminal: typed lines are prompts or commands, settings
 * last until the session ends. Ctrl-C cancels a picture, not the session. Owns the
 * settings and the console.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/console.h"
#include "cli/image_path.h"
#include "cli/interrupt.h"
#include "cli/save.h"
#include "cli/text.h"
#include "cli/session.h"

#define DEFAULT_SIDE 1024
#define USAGE_COLUMNS 17       /* as Ollama prints them; longer ones stand out */

struct session {
	struct client *client;
	const char *model;
	const json_t *show;             /* the server's answer about the model */
	struct picture_flags flags;
	char *texts[PICTURE_OPTIONS_MAX];       /* what flags point to after /set: a row of the table each */
	struct attachments attachments; /* of the flags: part of every picture */
	struct console console;
};

/* ---- /help ---- */

/* "/set width <n>" */
static void usage_of(const struct flag *o, char *ret, size_t size)
{
	const char *word = o->type == FLAG_INT ? "n" : o->type == FLAG_FLOAT ? "x" : "s";

	snprintf(ret, size, "/set %s <%s>", o->name,
		 o->picture->word ? o->picture->word : word);
}

static bool is_setting(const struct flag *o)
{
	return o->picture && o->picture->title;
}

static void print_help(void)
{
	char usage[64];

	fprintf(stderr, "Commands:\n");
	for (const struct flag *o = picture_options; o->name; o++) {
		if (!is_setting(o))
			continue;
		usage_of(o, usage, sizeof usage);
		fprintf(stderr, "  %-*s  Set %s\n", USAGE_COLUMNS, usage, o->picture->title);
	}
	fprintf(stderr, "  %-*s  Show current settings\n  %-*s  Exit\n\n"
		"Or type a prompt to generate an image.\n\n", USAGE_COLUMNS, "/show",
		USAGE_COLUMNS, "/bye");
}

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

/* These four are shown whether they are set or not. */
static void print_settings(const struct session *s)
{
	static const char *const always[] = { "width", "height", "steps", "seed" };
	const struct picture_flags *f = &s->flags;

	fprintf(stderr, "Current settings:\n");
	print_side(s, "width:", "width", f->width);
	print_side(s, "height:", "height", f->height);
	fprintf(stderr, "  steps:    %lld\n", f->steps > 0 ? (long long)f->steps : 0);
	fprintf(stderr, "  seed:     %lld (0=random)\n",
		f->seed != PICTURE_UNSET ? (long long)f->seed : 0);
	for (const struct flag *o = picture_options; o->name; o++) {
		bool shown = !is_setting(o);

		for (size_t i = 0; i < sizeof always / sizeof *always; i++)
			shown = shown || !strcmp(o->name, always[i]);
		if (!shown)
			picture_option_print(o, f, stderr);
	}
	fprintf(stderr, "\n");
}

/* ---- /set ---- */

/* text: what follows "/set ", trimmed; cut in place. */
static void set_option(struct session *s, char *text)
{
	char *name = text + strspn(text, " \t\n"), *value = name + strcspn(name, " \t\n");
	const struct flag *o;

	if (*value)
		*value++ = '\0';
	value += strspn(value, " \t\n");
	o = picture_option_find(name);
	if (o)
		picture_option_set(o, value, &s->flags, &s->texts[o - picture_options], stderr);
	else if (*value)
		fprintf(stderr, "Error: unknown option: %s (try /help)\n", name);
	else
		fprintf(stderr, "Error: usage: /set <option> <value>\n");
}

/* ---- prompts ---- */

static int report(int r, enum picture_stage stage, struct err *err)
{
	static const char *const prefixes[] = {
		[PICTURE_DRAW] = "Error", [PICTURE_DECODE] = "Error decoding image",
		[PICTURE_SAVE] = "Error saving image",
	};

	if (r == -ECANCELED)
		return interrupt_take() ? 0 : r;
	if (r == 0) {
		printf("\n");
		return 0;
	}
	text_make_printable(err->text, "\t\n");
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
		print_help();
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
	for (size_t i = 0; i < PICTURE_OPTIONS_MAX; i++)
		free(s.texts[i]);
	return r;
}
