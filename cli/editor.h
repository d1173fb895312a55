#ifndef EASEL_CLI_EDITOR_H
#define EASEL_CLI_EDITOR_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/history.h"
#include "cli/keys.h"
#include "common/buf.h"

/* What a key means to who reads the line. */
enum edit {
	EDIT_MORE,                      /* the line goes on */
	EDIT_LINE,                      /* it is complete */
	EDIT_INTERRUPT, EDIT_END, EDIT_SUSPEND, EDIT_CLEAR_SCREEN,
};

/*
 * One line being typed: a text of at most LIMIT_PROMPT bytes, always UTF-8 without
 * control characters but new line and tab, and a place in it.
 */
struct editor {
	const char *prompt;             /* ">>> "; four columns */
	const char *hint;               /* while nothing is typed */
	bool plain;                     /* the hint in no colour */
	struct buf text;
	size_t at;                      /* byte of the text that the cursor stands on */
	const struct history *history;
	size_t entry;                   /* of the history; its n: the line being typed */
	char *draft;                    /* that line, while an older one is shown */
	size_t drawn_row;               /* of the cursor, below the first row on the screen */
};

/* 0 or -ENOMEM; editor_finish() in any case. */
int editor_begin(struct editor *e, const struct history *history);
void editor_finish(struct editor *e);
enum edit editor_key(struct editor *e, const struct key *key);

/*
 * Puts what makes a terminal of that size show the line, from wherever the last
 * painting left the cursor. Of more rows than fit, those around the cursor.
 */
void editor_paint(struct editor *e, unsigned rows, unsigned columns, struct buf *out);
/* The last painting: no hint, and the cursor on the row below the text. */
void editor_leave(struct editor *e, unsigned rows, unsigned columns, struct buf *out);

#endif
