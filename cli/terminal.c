/*
 * What the terminal can do: redrawing, its size, and pictures in iTerm2's and kitty's
 * protocols. Owns nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/terminal.h"
#include "common/base64.h"

#define KITTY_PIECE 4096u

bool terminal_can_redraw(int fd)
{
	const char *term = getenv("TERM");

	return isatty(fd) && !(term && !strcmp(term, "dumb"));
}

static bool is_set(const char *name)
{
	const char *value = getenv(name);

	return value && *value;
}

bool terminal_has_colours(void)
{
	return !is_set("NO_COLOR");
}

void terminal_size(int fd, unsigned *ret_rows, unsigned *ret_columns)
{
	struct winsize size = { 0 };

	if (ioctl(fd, TIOCGWINSZ, &size) < 0)
		size = (struct winsize){ 0 };
	*ret_rows = size.ws_row ? size.ws_row : 24;
	*ret_columns = size.ws_col ? size.ws_col : 80;
}

static bool term_program(const char *name)
{
	const char *value = getenv("TERM_PROGRAM");

	return value && !strcmp(value, name);
}

static void put_iterm(const char *text, size_t len)
{
	printf("\033]1337;File=inline=1;preserveAspectRatio=1:");
	fwrite(text, 1, len, stdout);
	printf("\a\n");
}

static void put_kitty(const char *text, size_t len)
{
	for (size_t at = 0; at < len; at += KITTY_PIECE) {
		size_t n = len - at < KITTY_PIECE ? len - at : KITTY_PIECE;

		printf("\033_G%sm=%d;", at ? "" : "a=T,f=100,", at + n < len);
		fwrite(text + at, 1, n, stdout);
		printf("\033\\");
	}
	printf("\n");
}

void terminal_show_png(const void *png, size_t len)
{
	bool iterm = term_program("iTerm.app") || term_program("WezTerm") || is_set("WEZTERM_PANE");
	bool kitty = is_set("KITTY_WINDOW_ID") || is_set("GHOSTTY_RESOURCES_DIR") ||
		     term_program("ghostty");
	char *text;
	size_t n;

	if (!terminal_can_redraw(STDOUT_FILENO) || (!iterm && !kitty))
		return;
	text = malloc(base64_size(len) + 1);
	if (!text)
		return;
	n = base64_encode(png, len, text);
	if (iterm)
		put_iterm(text, n);
	else
		put_kitty(text, n);
	free(text);
}
