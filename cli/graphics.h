#ifndef EASEL_CLI_GRAPHICS_H
#define EASEL_CLI_GRAPHICS_H

#include <stddef.h>

/* How a terminal shows pictures. */
enum graphics { GRAPHICS_NONE, GRAPHICS_ITERM2, GRAPHICS_KITTY, GRAPHICS_SIXEL };

/*
 * What the terminal on standard output understands: what GRAPHICS (settings) says, else what
 * it is known by, else what it answers when asked, for at most two seconds. It is asked only
 * where it is the controlling terminal, we are in front, and nothing is typed yet: else a
 * key, or the answer, would end where it does not belong.
 */
enum graphics graphics_detect(void);

/*
 * Reads what a terminal answers to graphics_detect()'s questions, its device attributes last.
 * Pure.
 */
enum graphics graphics_parse(const char *answer);

/*
 * Shows a picture's file on standard output, and a new line behind it; where the terminal
 * takes PNGs only, nothing of others.
 */
void graphics_show(enum graphics g, const void *file, size_t len);

#endif
