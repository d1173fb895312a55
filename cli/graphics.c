/*
 * Pictures inside the terminal: which of three protocols it speaks, and a PNG in them.
 * Borrows the terminal's modes while it asks, and gives them back.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cli/graphics.h"
#include "cli/sixel.h"
#include "cli/terminal.h"
#include "common/base64.h"
#include "common/file.h"
#include "common/settings.h"
#include "common/timefmt.h"

#define KITTY_PIECE 4096u
#define SIXEL_MAX (64u << 20)
#define ANSWER_MAX 1024u
#define PATIENCE_NS INT64_C(1000000000)
/* Where the terminal does not say how large a cell is. */
#define CELL_WIDTH 8u
#define CELL_HEIGHT 16u

/* Primary device attributes: every terminal of the last forty years knows this one. */
#define ASK_ATTRIBUTES "\033[c"
/* A picture of one pixel that is not shown; the name of the terminal. */
#define ASK_KITTY "\033_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\033\\"
#define ASK_NAME "\033[>q"
/* Terminals of this class (VT200) and above take unknown strings for what they are. */
#define CLASS_WITH_STRINGS 60

/* ---- what answers say ---- */

/* Behind "ESC [ ?" of the last device attributes, or NULL. */
static const char *find_attributes(const char *answer)
{
	const char *found = NULL;

	for (const char *at = strstr(answer, "\033[?"); at; at = strstr(at + 1, "\033[?"))
		if (at[3 + strspn(at + 3, "0123456789;")] == 'c')
			found = at + 3;
	return found;
}

static bool has_attribute(const char *attributes, long wanted)
{
	char *end;

	for (const char *at = attributes; *at && *at != 'c'; at = *end == ';' ? end + 1 : end) {
		long n = strtol(at, &end, 10);

		if (at != attributes && n == wanted)
			return true;
		if (end == at)
			return false;
	}
	return false;
}

enum graphics graphics_parse(const char *answer)
{
	const char *attributes = find_attributes(answer);

	if (strstr(answer, "\033P>|iTerm2") || strstr(answer, "\033P>|WezTerm"))
		return GRAPHICS_ITERM2;
	if (strstr(answer, "\033_Gi=31;OK"))
		return GRAPHICS_KITTY;
	return attributes && has_attribute(attributes, 4) ? GRAPHICS_SIXEL : GRAPHICS_NONE;
}

/* ---- asking ---- */

/* Adds bytes until device attributes have come; false when the time is up. */
static bool read_answer(int fd, char *answer, size_t *len)
{
	const int64_t deadline = time_monotonic_ns() + PATIENCE_NS;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (*len < ANSWER_MAX - 1) {
		int64_t left = (deadline - time_monotonic_ns()) / 1000000;
		ssize_t n;

		if (left <= 0 || (poll(&p, 1, (int)left) < 0 && errno != EINTR))
			return false;
		n = p.revents ? read(fd, answer + *len, 1) : 0;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return false;
		*len += n > 0 ? (size_t)n : 0;
		answer[*len] = '\0';
		if (n > 0 && answer[*len - 1] == 'c' && find_attributes(answer))
			return true;
	}
	return false;
}

static bool ask(int fd, const char *question, char answer[ANSWER_MAX])
{
	size_t len = 0;

	answer[0] = '\0';
	return file_write_all(fd, "the terminal", question, strlen(question), NULL) == 0 &&
	       read_answer(fd, answer, &len);
}

/* The second question only goes to terminals that will not print it. */
static enum graphics ask_both(int fd, bool *ret_answered)
{
	char answer[ANSWER_MAX];
	enum graphics g;

	*ret_answered = ask(fd, ASK_ATTRIBUTES, answer);
	if (!*ret_answered)
		return GRAPHICS_NONE;
	g = graphics_parse(answer);
	if (atoi(find_attributes(answer)) < CLASS_WITH_STRINGS)
		return g;
	*ret_answered = ask(fd, ASK_KITTY ASK_NAME ASK_ATTRIBUTES, answer);
	return *ret_answered ? graphics_parse(answer) : g;
}

static bool has_input(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

static enum graphics ask_quietly(int fd)
{
	enum graphics g = GRAPHICS_NONE;
	struct termios original, mode;
	bool answered = true;

	if (tcgetattr(fd, &original) < 0)
		return GRAPHICS_NONE;
	mode = original;
	mode.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	mode.c_cc[VMIN] = 1;
	mode.c_cc[VTIME] = 0;
	if (tcsetattr(fd, TCSADRAIN, &mode) < 0)
		return GRAPHICS_NONE;
	if (!has_input(fd))
		g = ask_both(fd, &answered);
	/* An answer that comes late must not look like something typed. */
	tcsetattr(fd, answered ? TCSADRAIN : TCSAFLUSH, &original);
	return g;
}

/* Signals wait until the terminal has its modes back. */
static enum graphics ask_terminal(void)
{
	static const int held[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
	enum graphics g = GRAPHICS_NONE;
	sigset_t set, before;
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return GRAPHICS_NONE;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof held / sizeof *held; i++)
		sigaddset(&set, held[i]);
	if (tcgetsid(STDOUT_FILENO) == getsid(0) && tcgetpgrp(fd) == getpgrp() &&
	    sigprocmask(SIG_BLOCK, &set, &before) == 0) {
		g = ask_quietly(fd);
		sigprocmask(SIG_SETMASK, &before, NULL);
	}
	close(fd);
	return g;
}

/* ---- detection ---- */

static bool is_set(const char *name)
{
	const char *value = getenv(name);

	return value && *value;
}

static bool term_program(const char *name)
{
	const char *value = getenv("TERM_PROGRAM");

	return value && !strcmp(value, name);
}

/* Inside of a multiplexer these speak of the terminal around it. */
static enum graphics known_by_environment(void)
{
	if (is_set("TMUX") || is_set("STY"))
		return GRAPHICS_NONE;
	if (term_program("iTerm.app") || term_program("WezTerm") || is_set("WEZTERM_PANE"))
		return GRAPHICS_ITERM2;
	if (is_set("KITTY_WINDOW_ID") || is_set("GHOSTTY_RESOURCES_DIR") || term_program("ghostty"))
		return GRAPHICS_KITTY;
	return GRAPHICS_NONE;
}

/* Whether the user chose; anything unknown is "auto". */
static bool chosen(enum graphics *ret)
{
	static const char *const names[] = {
		[GRAPHICS_NONE] = "none", [GRAPHICS_ITERM2] = "iterm2", [GRAPHICS_KITTY] = "kitty",
		[GRAPHICS_SIXEL] = "sixel",
	};
	char *value = settings_get("GRAPHICS");
	bool found = false;

	for (size_t i = 0; value && i < sizeof names / sizeof *names; i++) {
		if (strcmp(value, names[i]))
			continue;
		*ret = (enum graphics)i;
		found = true;
	}
	free(value);
	return found;
}

enum graphics graphics_detect(void)
{
	enum graphics g;

	if (!terminal_can_redraw(STDOUT_FILENO))
		return GRAPHICS_NONE;
	if (chosen(&g))
		return g;
	g = known_by_environment();
	return g == GRAPHICS_NONE ? ask_terminal() : g;
}

/* ---- showing ---- */

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

static void put_base64(enum graphics g, const void *file, size_t len)
{
	char *text = malloc(base64_size(len) + 1);
	size_t n;

	if (!text)
		return;
	n = base64_encode(file, len, text);
	if (g == GRAPHICS_ITERM2)
		put_iterm(text, n);
	else
		put_kitty(text, n);
	free(text);
}

/* No wider than the terminal, and low enough to be seen whole. */
static void put_sixel(const void *png, size_t len)
{
	struct buf out = BUF_INIT(SIXEL_MAX);
	struct winsize size = { 0 };
	unsigned rows, columns, width, height;

	terminal_size(STDOUT_FILENO, &rows, &columns);
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
		size = (struct winsize){ 0 };
	width = size.ws_xpixel ? size.ws_xpixel : columns * CELL_WIDTH;
	height = size.ws_ypixel ? size.ws_ypixel : rows * CELL_HEIGHT;
	height = rows > 2 ? height / rows * (rows - 2) : height;
	if (sixel_put_png(png, len, width, height ? height : 1, &out) == 0) {
		fwrite(out.data, 1, out.len, stdout);
		printf("\n");
	}
	buf_finish(&out);
}

void graphics_show(enum graphics g, const void *file, size_t len)
{
	static const char signature[] = "\x89PNG";
	const bool png = len >= sizeof signature - 1 && !memcmp(file, signature, sizeof signature - 1);

	if (g == GRAPHICS_SIXEL && png)
		put_sixel(file, len);
	else if (g == GRAPHICS_ITERM2 || (g == GRAPHICS_KITTY && png))
		put_base64(g, file, len);
}
