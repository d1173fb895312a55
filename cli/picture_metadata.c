/*
 * What a file keeps about how it was drawn: easel's own JSON, or in a PNG the text "parameters" that
 * many image tools write and read:
 *
 *	a prompt
 *	Negative prompt: blur
 *	Steps: 20, Sampler: Euler, CFG scale: 1.5, Seed: 7, Size: 512x768, Model: demo
 *
 * Both come from strangers: types are checked, nothing is taken on trust.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/picture_metadata.h"
#include "cli/png_text.h"
#include "cli/xmp_text.h"
#include "common/fields.h"
#include "common/file.h"
#include "common/limits.h"

#define NEGATIVE "Negative prompt: "

/* ---- other tools' text ---- */

static void put_whole(json_t *to, const char *name, const char *value)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(value, &end, 10);
	if (!errno && end != value && !*end)
		json_object_set_new(to, name, json_integer(n));
}

static void put_number(json_t *to, const char *name, const char *value)
{
	char *end;
	double n = strtod(value, &end);

	/* json_real() refuses what is not finite. */
	if (end != value && !*end)
		json_object_set_new(to, name, json_real(n));
}

static void put_text(json_t *to, const char *name, const char *value)
{
	json_object_set_new(to, name, text_json(value));
}

/* "512x768" */
static void put_size(json_t *to, const char *name, const char *value)
{
	char width[16];
	size_t n = strcspn(value, "x");

	(void)name;
	if (!value[n] || n >= sizeof width)
		return;
	memcpy(width, value, n);
	width[n] = '\0';
	put_whole(to, "width", width);
	put_whole(to, "height", value + n + 1);
}

static const struct word {
	const char *key, *name;
	void (*put)(json_t *to, const char *name, const char *value);
} words[] = {
	{ "Steps", "steps", put_whole }, { "Seed", "seed", put_whole }, { "Size", "", put_size },
	{ "CFG scale", "guidance", put_number }, { "Model", "model", put_text },
	{ "Sampler", "scheduler", put_text },
};

/* "Key: value", cut in place. */
static void read_word(json_t *to, char *text)
{
	char *value = strstr(text, ": ");

	if (!value)
		return;
	*value = '\0';
	value += 2;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (!strcmp(text, words[i].key))
			words[i].put(to, words[i].name, value);
}

/* "Steps: 20, Seed: 7", cut in place. */
static void read_words(json_t *to, char *line)
{
	while (line) {
		char *next = strstr(line, ", ");

		if (next) {
			*next = '\0';
			next += 2;
		}
		read_word(to, line);
		line = next;
	}
}

/* The last line that begins so, or NULL. */
static char *find_line(char *text, const char *beginning)
{
	size_t len = strlen(beginning);
	char *found = NULL;

	for (char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, beginning, len))
			found = line;
	}
	return found;
}

/* Cuts the text off before a line. */
static void cut_before(char *text, char *line)
{
	if (line > text)
		line--;
	*line = '\0';
}

json_t *picture_metadata_parse(const char *parameters)
{
	char *text = strdup(parameters), *line = text ? find_line(text, "Steps: ") : NULL;
	json_t *to = line ? json_object() : NULL;

	if (to) {
		line[strcspn(line, "\n")] = '\0';
		read_words(to, line);
		cut_before(text, line);
		line = find_line(text, NEGATIVE);
		if (line) {
			put_text(to, "negative_prompt", line + strlen(NEGATIVE));
			cut_before(text, line);
		}
		put_text(to, "prompt", text);
	}
	free(text);
	return to;
}

/* ---- easel's own ---- */

static int check(const json_t *object, struct err *err)
{
	static const struct {
		const char *name;
		json_type type;
	} members[] = {
		{ "easel", JSON_STRING }, { "model", JSON_STRING }, { "digest", JSON_STRING },
		{ "prompt", JSON_STRING }, { "negative_prompt", JSON_STRING },
		{ "scheduler", JSON_STRING }, { "seed", JSON_INTEGER }, { "steps", JSON_INTEGER },
		{ "width", JSON_INTEGER }, { "height", JSON_INTEGER },
	};

	for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
		const json_t *value = json_object_get(object, members[i].name);

		if (value && !json_is_null(value) && json_typeof(value) != members[i].type)
			return err_set(err, -EINVAL, "its text 'easel' is damaged: '%s' has the "
				       "wrong type", members[i].name);
	}
	return 0;
}

static int read_own(const char *text, json_t **ret, struct err *err)
{
	json_t *object = json_parse(text, strlen(text), false, err);
	int r;

	if (!object)
		return err_prefix(err, "its text 'easel' is damaged");
	r = json_is_object(object) ? check(object, err)
				   : err_set(err, -EINVAL, "its text 'easel' is damaged: no object");
	if (r < 0)
		json_decref(object);
	else
		*ret = object;
	return r;
}

/* *ret stays NULL when there is none. */
static int read_parameters(const char *png, size_t len, json_t **ret, struct err *err)
{
	char *text;
	int r = png_text_find(png, len, "parameters", &text, err);

	if (r == 0 && text)
		*ret = picture_metadata_parse(text);
	free(text);
	return r;
}

static int read_texts(const char *file, size_t len, json_t **ret, struct err *err)
{
	const bool xmp = xmp_has_place(file, len);
	char *text = NULL;
	int r = xmp ? xmp_text_find(file, len, &text, err) :
	    png_text_find(file, len, "easel", &text, err);

	if (r == 0 && text)
		r = read_own(text, ret, err);
	else if (r == 0 && !xmp)
		r = read_parameters(file, len, ret, err);
	if (r == 0 && !*ret)
		r = err_set(err, -ENODATA, "the file does not say how it was drawn");
	free(text);
	return r;
}

int picture_metadata_read(const char *path, json_t **ret, struct err *err)
{
	char *png;
	size_t len;
	int r = file_load(path, LIMIT_IMAGE, &png, &len, err);

	*ret = NULL;
	if (r < 0)
		return r;
	r = read_texts(png, len, ret, err);
	free(png);
	return r < 0 ? err_prefix(err, "%s", path) : 0;
}
