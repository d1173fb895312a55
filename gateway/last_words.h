#ifndef EASEL_GATEWAY_LAST_WORDS_H
#define EASEL_GATEWAY_LAST_WORDS_H

#include <stdbool.h>

/* What a child said last on stderr, for the sentence that tells why it ended. */
#define LAST_WORDS_SIZE 400

struct last_words {
	char text[LAST_WORDS_SIZE];
};

/* Keeps the line when it is one: warnings, errors and plain text, not routine lines. */
void last_words_add(struct last_words *w, const char *line);
bool last_words_any(const struct last_words *w);
const char *last_words_text(const struct last_words *w);
/* One line of a child into this process's log, its own level kept, label and pid in front. */
void log_child_line(const char *label, int pid, const char *line);

#endif
