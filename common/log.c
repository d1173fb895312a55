/*
 * One line per event on stderr. Owns the process's log threshold and source name;
 * any thread (a line is one write).
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/settings.h"
#include "common/timefmt.h"

enum { LINE_MAX_BYTES = 4096 };

/* The process's one log context. */
static struct {
	const char *source;
	enum log_level threshold;
} sink = { "easel", LOG_INFO };

static const char *const level_names[] = { "TRACE", "DEBUG", "INFO", "WARN", "ERROR" };

void log_open(const char *source, enum log_level threshold)
{
	sink.source = source;
	sink.threshold = threshold;
}

enum log_level log_level_from_env(void)
{
	char *value = settings_get("DEBUG");
	enum log_level level = LOG_INFO;

	if (value && !strcmp(value, "2"))
		level = LOG_TRACE;
	else if (settings_bool("DEBUG", false))
		level = LOG_DEBUG;
	free(value);
	return level;
}

/* Appends c to line as logfmt wants it inside quotes. */
static size_t put_quoted(char *line, size_t at, unsigned char c)
{
	if (c == '"' || c == '\\')
		line[at++] = '\\';
	if (c == '\n') {
		line[at++] = '\\';
		c = 'n';
	}
	line[at++] = (char)(c < 0x20 || c == 0x7f ? ' ' : c);
	return at;
}

void log_write(enum log_level level, const char *format, ...)
{
	char text[LINE_MAX_BYTES / 2], line[LINE_MAX_BYTES + 8], when[TIME_TEXT_SIZE];
	size_t at;
	va_list ap;
	int n;

	if (level < sink.threshold)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);

	/* Whole milliseconds, as the reference logs. */
	time_format(time_now_ns() / 1000000 * 1000000, true, when);
	n = snprintf(line, 256, "time=%s level=%s source=%s msg=\"", when, level_names[level], sink.source);
	at = (size_t)n;
	for (const char *p = text; *p && at < LINE_MAX_BYTES; p++)
		at = put_quoted(line, at, (unsigned char)*p);
	line[at++] = '"';
	line[at++] = '\n';
	if (write(STDERR_FILENO, line, at) < 0)
		return;                 /* nowhere to say so */
}
