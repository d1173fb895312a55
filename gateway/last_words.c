/*
 * Lines that children write: plain text, or in the project's own log format. Owns
 * nothing but the copy of the last important one; runs on the event loop.
 */
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "gateway/last_words.h"

/* "time=... level=WARN source=... msg="...": the level, and where the text starts. */
static enum log_level split_line(const char *line, const char **ret_text)
{
	static const char *const names[] = { "TRACE", "DEBUG", "INFO", "WARN", "ERROR" };
	const char *level = strstr(line, " level="), *msg = strstr(line, " msg=\"");

	*ret_text = line;
	if (strncmp(line, "time=", 5) || !level || !msg)
		return LOG_WARN;
	*ret_text = msg + strlen(" msg=\"");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncmp(level + strlen(" level="), names[i], strlen(names[i])))
			return (enum log_level)i;
	return LOG_WARN;
}

/* Undoes the quoting of a log line, up to its closing quote. */
static void copy_text(const char *line, const char *text, char *ret, size_t size)
{
	bool quoted = text != line;
	size_t n = 0;

	for (; *text && n < size - 1; text++) {
		if (quoted && *text == '"')
			break;
		if (quoted && *text == '\\' && text[1]) {
			text++;
			ret[n++] = *text == 'n' ? ' ' : *text;
			continue;
		}
		ret[n++] = *text;
	}
	ret[n] = '\0';
}

void last_words_add(struct last_words *w, const char *line)
{
	const char *text;

	if (line[strspn(line, " \t\r")] && split_line(line, &text) >= LOG_WARN)
		copy_text(line, text, w->text, sizeof(w->text));
}

bool last_words_any(const struct last_words *w)
{
	return w->text[0] != '\0';
}

const char *last_words_text(const struct last_words *w)
{
	return w->text;
}

void log_child_line(const char *label, int pid, const char *line)
{
	const char *text;
	enum log_level level = split_line(line, &text);
	char copy[2048];

	copy_text(line, text, copy, sizeof(copy));
	log_write(level, "%s[%d]: %s", label, pid, copy);
}
