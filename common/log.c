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
#include "common/utf8.h"

enum { TEXT_MAX_BYTES = 2048, LINE_MAX_BYTES = 3 * TEXT_MAX_BYTES + 512 };

/* The process's one log context. */
static struct {
	const char *source;
	enum log_level threshold;
	enum log_format format;
} sink = { "easel", LOG_INFO, LOG_LOGFMT };

static const char *const level_names[] = { "TRACE", "DEBUG", "INFO", "WARN", "ERROR" };

void log_open(const char *source, enum log_level threshold)
{
	sink.source = source;
	sink.threshold = threshold;
}

void log_set_format(enum log_format format)
{
	sink.format = format;
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

/*
 * Appends a text as both formats want it inside quotes. What is no UTF-8 is kept in
 * logfmt, which is for people, and replaced in JSON, which must parse.
 */
static size_t put_quoted(char *line, size_t at, const char *text)
{
	size_t left = strlen(text), used;
	uint32_t code;

	for (; (used = utf8_decode(text, left, &code)) && at < LINE_MAX_BYTES - 16;
	     text += used, left -= used) {
		if (code == '"' || code == '\\' || code == '\n')
			line[at++] = '\\';
		if (code == '\n')
			line[at++] = 'n';
		else if (code < 0x20 || code == 0x7f)
			line[at++] = ' ';
		else if (sink.format == LOG_JSON)
			at += utf8_encode(code, line + at);
		else
			at = (size_t)((char *)mempcpy(line + at, text, used) - line);
	}
	return at;
}

static size_t put_head(char *line, enum log_level level)
{
	char when[TIME_TEXT_SIZE];

	/* Whole milliseconds, as the reference logs. */
	time_format(time_now_ns() / 1000000 * 1000000, true, when);
	return (size_t)snprintf(line, LINE_MAX_BYTES, sink.format == LOG_JSON ?
				"{\"time\":\"%s\",\"level\":\"%s\",\"source\":\"%s\",\"msg\":\"" :
				"time=%s level=%s source=%s msg=\"", when, level_names[level],
				sink.source);
}

static size_t put_id(char *line, size_t at, const char *id)
{
	return at + (size_t)snprintf(line + at, LINE_MAX_BYTES - at, sink.format == LOG_JSON ?
				     ",\"id\":\"%.64s\"" : " id=%.64s", id);
}

/* id may be NULL. */
static void write_line(enum log_level level, const char *id, const char *format, va_list ap)
{
	char text[TEXT_MAX_BYTES], line[LINE_MAX_BYTES + 128];
	size_t at;

	vsnprintf(text, sizeof text, format, ap);
	at = put_head(line, level);
	at = put_quoted(line, at, text);
	line[at++] = '"';
	if (id)
		at = put_id(line, at, id);
	if (sink.format == LOG_JSON)
		line[at++] = '}';
	line[at++] = '\n';
	if (write(STDERR_FILENO, line, at) < 0)
		return;                 /* nowhere to say so */
}

void log_write(enum log_level level, const char *format, ...)
{
	va_list ap;

	if (level < sink.threshold)
		return;
	va_start(ap, format);
	write_line(level, NULL, format, ap);
	va_end(ap);
}

void log_request(enum log_level level, const char *id, const char *format, ...)
{
	va_list ap;

	if (level < sink.threshold)
		return;
	va_start(ap, format);
	write_line(level, id, format, ap);
	va_end(ap);
}
