#ifndef EASEL_CLI_CONSOLE_H
#define EASEL_CLI_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

#include "cli/editor.h"
#include "cli/history.h"
#include "cli/keys.h"
#include "common/err.h"

/*
 * The terminal on standard input and output, for a session of typed lines. Between
 * lines it echoes nothing, Ctrl-C is SIGINT, and what is typed waits for the next line.
 */
struct console {
	struct termios original;
	bool plain;                     /* TERM=dumb: the terminal edits, not we */
	struct history history;
	struct editor editor;
	struct keys keys;
	unsigned char input[4096];      /* bytes that were read but not yet used */
	size_t n_input, used;
};

int console_open(struct console *c, struct err *err);
void console_close(struct console *c);          /* gives the terminal back as it was */

enum { CONSOLE_LINE, CONSOLE_INTERRUPT, CONSOLE_END };
/*
 * Reads one line with the editor: CONSOLE_LINE with *ret (the caller frees) or what
 * ended it, the cursor on a new row in any case. signal_fd is interrupt_open()'s; a
 * signal but SIGINT is -ECANCELED. Blocks.
 */
int console_read(struct console *c, int signal_fd, char **ret, struct err *err);

#endif
