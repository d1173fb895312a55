#ifndef EASEL_CLI_HISTORY_H
#define EASEL_CLI_HISTORY_H

#include <stddef.h>

#include "common/err.h"

#define HISTORY_MAX 100

/* The last lines that were typed, oldest first, and the file that keeps them. */
struct history {
	char *lines[HISTORY_MAX];       /* owned */
	size_t n;
	char *path;                     /* NULL: kept in no file */
};

/*
 * Reads ~/.ollama/history, when there is one that can be read. NOHISTORY (settings):
 * nothing is written to it. history_close() in any case.
 */
void history_open(struct history *h);
void history_close(struct history *h);
/*
 * Adds a line and rewrites the file, mode 0600. On failure the line is kept and the
 * file left alone from then on.
 */
int history_add(struct history *h, const char *line, struct err *err);

#endif
