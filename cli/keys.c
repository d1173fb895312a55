/*
 * What a terminal sends when keys are pressed: control characters, escape sequences,
 * UTF-8, pastes in brackets. Pure: reading the bytes is console.c.
 */
#include "cli/keys.h"
#include "common/utf8.h"

#define ESCAPE 0x1b
#define RUBOUT 0x7f
#define CONTROL(letter) ((letter) & 0x1f)
#define MAX_PARAM 9999u

static const unsigned char controls[0x20] = {
	[CONTROL('A')] = KEY_HOME,              [CONTROL('B')] = KEY_LEFT,
	[CONTROL('C')] = KEY_INTERRUPT,         [CONTROL('D')] = KEY_END_OF_INPUT,
	[CONTROL('E')] = KEY_END,               [CONTROL('F')] = KEY_RIGHT,
	[CONTROL('H')] = KEY_BACKSPACE,         [CONTROL('J')] = KEY_NEWLINE,
	[CONTROL('K')] = KEY_ERASE_REST,        [CONTROL('L')] = KEY_CLEAR_SCREEN,
	[CONTROL('M')] = KEY_ENTER,             [CONTROL('N')] = KEY_DOWN,
	[CONTROL('P')] = KEY_UP,                [CONTROL('U')] = KEY_ERASE_BEFORE,
	[CONTROL('W')] = KEY_ERASE_WORD,        [CONTROL('Z')] = KEY_SUSPEND,
};

static enum key_kind letter_key(unsigned char letter, bool by_word)
{
	switch (letter) {
	case 'A':
		return KEY_UP;
	case 'B':
		return KEY_DOWN;
	case 'C':
		return by_word ? KEY_WORD_RIGHT : KEY_RIGHT;
	case 'D':
		return by_word ? KEY_WORD_LEFT : KEY_LEFT;
	case 'H':
		return KEY_HOME;
	case 'F':
		return KEY_END;
	default:
		return KEY_NONE;
	}
}

static enum key_kind numbered_key(struct keys *k)
{
	switch (k->params[0]) {
	case 1:
	case 7:
		return KEY_HOME;
	case 4:
	case 8:
		return KEY_END;
	case 3:
		return KEY_DELETE;
	case 200:
	case 201:
		k->pasting = k->params[0] == 200;
		k->after_return = false;
		return KEY_NONE;
	default:
		return KEY_NONE;
	}
}

static enum key_kind end_sequence(struct keys *k, unsigned char byte)
{
	k->state = KEYS_PLAIN;
	if (byte == '~')
		return numbered_key(k);
	/* "ESC[1;5C": a second parameter above 1 says Ctrl or Alt. */
	return letter_key(byte, k->n_params && k->params[1] > 1);
}

static enum key_kind feed_csi(struct keys *k, unsigned char byte)
{
	if (byte >= '0' && byte <= '9') {
		unsigned *param = &k->params[k->n_params ? 1 : 0];

		*param = *param < MAX_PARAM ? *param * 10 + (byte - '0') : *param;
	} else if (byte == ';') {
		k->n_params++;
	} else if (byte >= 0x40 && byte <= 0x7e) {
		return end_sequence(k, byte);
	}
	return KEY_NONE;
}

static enum key_kind feed_escape(struct keys *k, unsigned char byte)
{
	k->state = KEYS_PLAIN;
	switch (byte) {
	case '[':
	case 'O':
		k->state = byte == '[' ? KEYS_CSI : KEYS_SS3;
		k->params[0] = k->params[1] = k->n_params = 0;
		return KEY_NONE;
	case 'b':
	case 'B':
		return KEY_WORD_LEFT;
	case 'f':
	case 'F':
		return KEY_WORD_RIGHT;
	case RUBOUT:
	case CONTROL('H'):
		return KEY_ERASE_WORD;
	default:
		return KEY_NONE;
	}
}

/* A pasted line may end with CR, LF or both. */
static enum key_kind pasted_control(struct keys *k, unsigned char byte, struct key *ret)
{
	const bool after_return = k->after_return;

	k->after_return = byte == '\r';
	if (byte == '\r' || (byte == '\n' && !after_return))
		return KEY_NEWLINE;
	ret->code = '\t';
	return byte == '\t' ? KEY_TEXT : KEY_NONE;
}

static enum key_kind feed_control(struct keys *k, unsigned char byte, struct key *ret)
{
	k->len = 0;
	/* Whoever waits for the end of a paste that never comes has this way out. */
	if (byte == CONTROL('C'))
		k->pasting = false;
	if (byte == ESCAPE)
		k->state = KEYS_ESCAPE;
	else if (k->pasting)
		return pasted_control(k, byte, ret);
	return byte == RUBOUT ? KEY_BACKSPACE : (enum key_kind)controls[byte];
}

static unsigned sequence_length(unsigned char lead)
{
	if (lead >= 0xc2 && lead < 0xe0)
		return 2;
	if (lead >= 0xe0 && lead < 0xf0)
		return 3;
	return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

static enum key_kind feed_text(struct keys *k, unsigned char byte, struct key *ret)
{
	k->after_return = false;
	if (byte < 0x80) {
		k->len = 0;
		ret->code = byte;
		return KEY_TEXT;
	}
	if ((byte & 0xc0) != 0x80) {
		k->len = 0;
		k->need = sequence_length(byte);
	} else if (!k->len) {
		return KEY_NONE;
	}
	if (!k->need)
		return KEY_NONE;
	k->text[k->len++] = (char)byte;
	if (k->len < k->need)
		return KEY_NONE;
	k->len = 0;
	if (utf8_decode(k->text, k->need, &ret->code) != k->need)
		return KEY_NONE;
	/* U+0080 to U+009F are controls, too. */
	return ret->code < 0xa0 ? KEY_NONE : KEY_TEXT;
}

bool keys_feed(struct keys *k, unsigned char byte, struct key *ret)
{
	const bool pasting = k->pasting;

	ret->code = 0;
	/* A control character ends a sequence that was cut off, and counts itself. */
	if (byte < 0x20 && !(k->state == KEYS_ESCAPE && byte == CONTROL('H')))
		k->state = KEYS_PLAIN;
	if (k->state == KEYS_PLAIN) {
		ret->kind = byte < 0x20 || byte == RUBOUT ? feed_control(k, byte, ret)
							  : feed_text(k, byte, ret);
		return ret->kind != KEY_NONE;
	}
	if (k->state == KEYS_ESCAPE)
		ret->kind = feed_escape(k, byte);
	else
		ret->kind = k->state == KEYS_CSI ? feed_csi(k, byte) : end_sequence(k, byte);
	return ret->kind != KEY_NONE && !pasting;
}
