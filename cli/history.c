/*
 * The history of typed lines: a list, and a file of one line each that appears whole
 * or not at all. Owns the lines.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/history.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/limits.h"
#include "common/settings.h"

#define MAX_FILE (2u * LIMIT_PROMPT)

static void push(struct history *h, char *line)
{
	if (h->n == HISTORY_MAX) {
		free(h->lines[0]);
		memmove(h->lines, h->lines + 1, (HISTORY_MAX - 1) * sizeof *h->lines);
		h->n--;
	}
	h->lines[h->n++] = line;
}

static void read_lines(struct history *h, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		char *line = len ? strndup(text, len) : NULL;

		if (line)
			push(h, line);
		text += len + (text[len] == '\n');
	}
}

void history_open(struct history *h)
{
	const char *home = getenv("HOME");
	char *text;
	size_t len;

	*h = (struct history){ 0 };
	if (!home || !*home || asprintf(&h->path, "%s/.ollama/history", home) < 0) {
		h->path = NULL;
		return;
	}
	if (file_load(h->path, MAX_FILE, &text, &len, NULL) == 0) {
		read_lines(h, text);
		free(text);
	}
	if (settings_bool("NOHISTORY", false)) {
		free(h->path);
		h->path = NULL;
	}
}

void history_close(struct history *h)
{
	for (size_t i = 0; i < h->n; i++)
		free(h->lines[i]);
	free(h->path);
	*h = (struct history){ 0 };
}

/* A line of the file each: what was typed on several lines is joined by blanks. */
static void put_lines(const struct history *h, struct buf *out)
{
	size_t start = 0;

	for (size_t i = 0; i < h->n; i++) {
		buf_puts(out, h->lines[i]);
		for (size_t at = start; at < out->len; at++)
			if (out->data[at] == '\n')
				out->data[at] = ' ';
		buf_puts(out, "\n");
		start = out->len;
	}
}

static int write_file(const char *path, const struct buf *text, struct err *err)
{
	char temp[PATH_MAX];
	int fd, r = dir_make_parent(path, err);

	if (r < 0)
		return r;
	file_temp_name(path, temp, sizeof temp);
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, errno, "create %s", temp);
	r = file_write_all(fd, temp, text->data, text->len, err);
	if (close(fd) < 0 && r == 0)
		r = err_errno(err, errno, "write %s", temp);
	if (r == 0 && rename(temp, path) < 0)
		r = err_errno(err, errno, "rename to %s", path);
	if (r < 0)
		unlink(temp);
	return r;
}

static int save(const struct history *h, struct err *err)
{
	struct buf text = BUF_INIT(MAX_FILE);
	int r;

	put_lines(h, &text);
	if (buf_failed(&text))
		r = err_set(err, -EMSGSIZE, "the lines are larger than %u bytes", MAX_FILE);
	else
		r = write_file(h->path, &text, err);
	buf_finish(&text);
	return r;
}

int history_add(struct history *h, const char *line, struct err *err)
{
	char *copy = strdup(line);
	int r;

	if (!copy)
		return err_errno(err, ENOMEM, "keeping the history");
	push(h, copy);
	r = h->path ? save(h, err) : 0;
	if (r < 0) {
		err_prefix(err, "cannot write the history");
		free(h->path);
		h->path = NULL;
	}
	return r;
}
