#ifndef EASEL_CLI_KEYS_H
#define EASEL_CLI_KEYS_H

#include <stdbool.h>
#include <stdint.h>

enum key_kind {
	KEY_NONE,
	KEY_TEXT,                       /* one code point */
	KEY_ENTER, KEY_NEWLINE,
	KEY_LEFT, KEY_RIGHT, KEY_WORD_LEFT, KEY_WORD_RIGHT, KEY_HOME, KEY_END,
	KEY_UP, KEY_DOWN,
	KEY_BACKSPACE, KEY_DELETE, KEY_ERASE_WORD, KEY_ERASE_BEFORE, KEY_ERASE_REST,
	KEY_END_OF_INPUT,               /* Ctrl-D: deletes in a line that holds something */
	KEY_INTERRUPT, KEY_SUSPEND, KEY_CLEAR_SCREEN,
};

struct key {
	enum key_kind kind;
	uint32_t code;                  /* KEY_TEXT */
};

/*
 * Bytes of a terminal -> keys. What is pasted (between the terminal's brackets) is text
 * and new lines whatever it holds. Unknown sequences and bytes that are no UTF-8 are
 * dropped. A struct of zeroes begins.
 */
struct keys {
	enum { KEYS_PLAIN, KEYS_ESCAPE, KEYS_CSI, KEYS_SS3 } state;
	bool pasting, after_return;
	unsigned params[2], n_params;
	char text[4];                   /* a code point that is not complete */
	unsigned len, need;
};

/* Takes one byte; true when that completes a key. */
bool keys_feed(struct keys *k, unsigned char byte, struct key *ret);

#endif
