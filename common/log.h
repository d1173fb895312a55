#ifndef EASEL_COMMON_LOG_H
#define EASEL_COMMON_LOG_H

/*
 * One line per event on stderr, as key=value:
 *   time=2026-11-21T04:46:54.195Z level=INFO source=gateway msg="Listening on ..."
 * or as JSON with members of the same names. A line about one HTTP request has its id
 * too. The process's one sink; log_open() is called once from main(). A library
 * function logs at debug or below, or not at all.
 */
enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum log_format { LOG_LOGFMT, LOG_JSON };

void log_open(const char *source, enum log_level threshold);
/* Only for who is not read by another program of ours, which expects logfmt. */
void log_set_format(enum log_format format);
void log_write(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* id is plain ASCII without quotes. */
void log_request(enum log_level level, const char *id, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* EASEL_DEBUG / OLLAMA_DEBUG: "1" or "true" is debug, "2" is trace, else info. */
enum log_level log_level_from_env(void);

#define log_trace(...) log_write(LOG_TRACE, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

#endif
