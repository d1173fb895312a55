/*
 * Finding the picture files that a prompt names, as terminals drop them and people
 * type them. Pure: whether a file exists is the caller's function. Owns nothing.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/image_path.h"

/* Of the text of one path: every character of it may be escaped by three. */
#define MAX_TEXT (3 * PATH_MAX)

/* The next end of a bare path; many starts share one. */
struct scan {
	const char *text;
	size_t dot;                     /* of the extension, or where no path goes on */
	size_t end;                     /* behind the extension; 0: none */
};

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_word(char c)
{
	return is_letter(c) || (c >= '0' && c <= '9') || c == '_';
}

static bool is_separator(char c)
{
	return c == '/' || c == '\\';
}

static bool ends_paths(char c)
{
	return c == '\0' || strchr("\t\n\r\v\f", c);
}

/* Characters of a picture's extension at text, dot included; 0: it is none. */
static size_t extension_length(const char *text)
{
	static const char *const extensions[] = { ".jpg", ".jpeg", ".png", ".webp" };

	for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
		size_t len = strlen(extensions[i]);

		if (!strncasecmp(text, extensions[i], len) && !is_word(text[len]))
			return len;
	}
	return 0;
}

bool image_path_has_type(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && dot > path && extension_length(dot) == strlen(dot);
}

/* "holiday.png.d/beach.jpg": behind its extension the name of a folder goes on. */
static bool goes_on(const char *text)
{
	while (is_word(*text) || *text == '.' || *text == '-')
		text++;
	return is_separator(*text);
}

/* Where a bare path whose first characters end at `from` ends; 0: nowhere. */
static size_t find_end(struct scan *s, size_t from)
{
	if (s->dot >= from)
		return s->end;
	for (s->dot = from; !ends_paths(s->text[s->dot]); s->dot++) {
		size_t len = s->text[s->dot] == '.' ? extension_length(s->text + s->dot) : 0;

		if (len && !goes_on(s->text + s->dot + len)) {
			s->end = s->dot + len;
			return s->end;
		}
	}
	s->end = 0;
	return 0;
}

/* Length of what makes a word a path: "/", "./", "../", "~/", "C:\"; 0: it is none. */
static size_t prefix_length(const char *text)
{
	size_t drive = is_letter(*text) && text[1] == ':' ? 2 : 0;

	if (!strncmp(text, "../", 3))
		return 3;
	if (!strncmp(text, "~/", 2))
		return 2;
	if (!strncmp(text + drive, "./", 2))
		return drive + 2;
	return is_separator(text[drive]) ? drive + 1 : 0;
}

/* The middle of a word or of a path is no start. */
static bool may_start(const char *text, size_t at)
{
	char before = at ? text[at - 1] : ' ';

	return !is_word(before) && !strchr("-.~/\\", before);
}

bool image_path_begins(const char *text)
{
	struct scan s = { .text = text };
	size_t prefix = prefix_length(text);

	return prefix && find_end(&s, prefix + 1);
}

/* In place: "\ ", "\(", "\)" and "%20" become what they stand for. */
static void undo_escapes(char *text)
{
	char *to = text;

	while (*text) {
		if (*text == '\\' && text[1] && strchr(" ()", text[1])) {
			text++;
		} else if (!strncmp(text, "%20", 3)) {
			text += 2;
			*text = ' ';
		}
		*to++ = *text++;
	}
	*to = '\0';
}

/* Takes name over. 1 with *ret when it names a file, 0 when not. */
static int try_name(char *name, const struct image_path_world *world, char **ret)
{
	char *path = name;

	if (!name)
		return -ENOMEM;
	if (!strncmp(name, "~/", 2) && world->home) {
		if (asprintf(&path, "%s%s", world->home, name + 1) < 0)
			path = NULL;
		free(name);
		if (!path)
			return -ENOMEM;
	}
	if (!world->exists(path)) {
		free(path);
		return 0;
	}
	*ret = path;
	return 1;
}

/* With escapes undone, then as it stands: names may hold "%20" themselves. */
static int try_file(const char *text, const struct image_path_world *world, char **ret)
{
	char *undone = strdup(text);
	int r;

	if (!undone)
		return -ENOMEM;
	undo_escapes(undone);
	r = try_name(undone, world, ret);
	return r ? r : try_name(strdup(text), world, ret);
}

static int try_bare(struct scan *s, size_t at, const struct image_path_world *world,
		    struct image_path *ret)
{
	size_t prefix = prefix_length(s->text + at);
	size_t end = prefix ? find_end(s, at + prefix + 1) : 0;
	char *copy;
	int r;

	if (!end || end - at > MAX_TEXT)
		return 0;
	copy = strndup(s->text + at, end - at);
	if (!copy)
		return -ENOMEM;
	r = try_file(copy, world, &ret->path);
	free(copy);
	ret->start = at;
	ret->end = end;
	return r;
}

/*
 * What stands between the quotes at text -> content; returns the length of all of it,
 * 0 for quotes that do not close. In single quotes '\'' is a quote, as shells write it.
 */
static size_t read_quoted(const char *text, char content[MAX_TEXT])
{
	const char quote = *text;
	size_t at = 1, n = 0;

	while (!ends_paths(text[at]) && n < MAX_TEXT - 1) {
		if (quote == '\'' && !strncmp(text + at, "'\\''", 4))
			at += 3;
		else if (text[at] == quote)
			break;
		content[n++] = text[at++];
	}
	content[n] = '\0';
	return text[at] == quote ? at + 1 : 0;
}

static int try_quoted(const char *text, size_t at, const struct image_path_world *world,
		      struct image_path *ret)
{
	char content[MAX_TEXT];
	size_t len = read_quoted(text + at, content);

	if (!len || !image_path_has_type(content))
		return 0;
	ret->start = at;
	ret->end = at + len;
	return try_file(content, world, &ret->path);
}

int image_path_next(const char *text, size_t from, const struct image_path_world *world,
		    struct image_path *ret)
{
	struct scan s = { .text = text };
	int r = 0;

	for (size_t at = from; text[at] && r == 0; at++) {
		if (!may_start(text, at))
			continue;
		if (text[at] == '"' || text[at] == '\'')
			r = try_quoted(text, at, world, ret);
		else
			r = try_bare(&s, at, world, ret);
	}
	return r;
}
