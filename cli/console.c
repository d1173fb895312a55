/*
 * The terminal while lines are typed: its modes, its bytes to the editor, what the
 * editor paints to its screen. Owns the modes of the terminal until it is closed.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/console.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "common/file.h"
#include "common/limits.h"

#define PASTE_ON "\033[?2004h"
#define PASTE_OFF "\033[?2004l"
#define CLEAR "\033[H\033[2J"
#define PAINT_MAX (LIMIT_PROMPT + (1u << 20))

/* ---- modes ---- */

/* editing: Ctrl-C and its kin are keys and no signals. */
static int set_mode(const struct console *c, bool editing, struct err *err)
{
	struct termios mode = c->original;

	if (c->plain)
		return 0;
	mode.c_iflag &= ~(tcflag_t)(ICRNL | INLCR | IGNCR | IXON | ISTRIP);
	mode.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN);
	if (editing)
		mode.c_lflag &= ~(tcflag_t)ISIG;
	mode.c_cc[VMIN] = 1;
	mode.c_cc[VTIME] = 0;
	/* Dying of it would leave the terminal like this. */
	mode.c_cc[VQUIT] = _POSIX_VDISABLE;
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &mode) < 0)
		return err_errno(err, errno, "setting up the terminal");
	return 0;
}

int console_open(struct console *c, struct err *err)
{
	int r;

	*c = (struct console){ .plain = !terminal_can_redraw(STDOUT_FILENO) };
	if (tcgetattr(STDIN_FILENO, &c->original) < 0)
		return err_errno(err, errno, "setting up the terminal");
	r = set_mode(c, false, err);
	if (r == 0)
		history_open(&c->history);
	return r;
}

void console_close(struct console *c)
{
	/* A terminal that is gone needs nothing back. */
	if (!c->plain)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &c->original);
	history_close(&c->history);
}

/* ---- output ---- */

static int write_out(const struct buf *out, struct err *err)
{
	if (buf_failed(out))
		return err_errno(err, ENOMEM, "painting the line");
	return file_write_all(STDOUT_FILENO, "the terminal", out->data, out->len, err);
}

static int show(struct console *c, const char *before, bool leave, const char *after,
		struct err *err)
{
	struct buf out = BUF_INIT(PAINT_MAX);
	unsigned rows, columns;
	int r;

	terminal_size(STDOUT_FILENO, &rows, &columns);
	buf_puts(&out, before);
	if (leave)
		editor_leave(&c->editor, rows, columns, &out);
	else
		editor_paint(&c->editor, rows, columns, &out);
	buf_puts(&out, after);
	r = write_out(&out, err);
	buf_finish(&out);
	return r;
}

/* Stops the whole job, as the terminal would have; returns when it goes on. */
static int suspend(struct console *c, struct err *err)
{
	int r = show(c, "", true, PASTE_OFF, err);

	if (r == 0 && tcsetattr(STDIN_FILENO, TCSADRAIN, &c->original) == 0)
		kill(0, SIGTSTP);
	if (r == 0)
		r = set_mode(c, true, err);
	return r < 0 ? r : show(c, PASTE_ON, false, "", err);
}

/* ---- input ---- */

/* More bytes: 0; 1 at the end of input; -EINTR for Ctrl-C that came as a signal. */
static int read_more(struct console *c, int signal_fd, struct err *err)
{
	struct pollfd fds[2] = { { .fd = STDIN_FILENO, .events = POLLIN },
				 { .fd = signal_fd, .events = POLLIN } };
	ssize_t n;

	if (poll(fds, 2, -1) < 0)
		return errno == EINTR ? 0 : err_errno(err, errno, "waiting for the terminal");
	if (fds[1].revents)
		return interrupt_take() ? -EINTR : err_set(err, -ECANCELED, "interrupted");
	n = read(STDIN_FILENO, c->input, sizeof c->input);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	/* A terminal that was closed reports EIO. */
	c->used = 0;
	c->n_input = n > 0 ? (size_t)n : 0;
	return n <= 0;
}

/* Feeds the bytes at hand until a key means more than a change of the line. */
static enum edit feed(struct console *c)
{
	enum edit edit = EDIT_MORE;
	struct key key;

	while (edit == EDIT_MORE && c->used < c->n_input)
		if (keys_feed(&c->keys, c->input[c->used++], &key))
			edit = editor_key(&c->editor, &key);
	return edit;
}

/* Until the line is complete or was given up; an edit, or a negative code. */
static int edit_line(struct console *c, int signal_fd, struct err *err)
{
	const char *before = PASTE_ON;
	int r = 0;

	while (r == 0) {
		enum edit edit = feed(c);

		if (edit == EDIT_SUSPEND) {
			r = suspend(c, err);
			continue;
		}
		if (edit != EDIT_MORE && edit != EDIT_CLEAR_SCREEN)
			return (int)edit;
		if (edit == EDIT_CLEAR_SCREEN)
			c->editor.drawn_row = 0;
		r = show(c, edit == EDIT_CLEAR_SCREEN ? CLEAR : before, false, "", err);
		before = "";
		if (r == 0 && c->used == c->n_input)
			r = read_more(c, signal_fd, err);
		if (r == -EINTR)
			return EDIT_INTERRUPT;
	}
	return r < 0 ? r : EDIT_END;
}

static int read_edited(struct console *c, int signal_fd, char **ret, struct err *err)
{
	size_t len;
	int r = editor_begin(&c->editor, &c->history);
	int edit;

	if (r < 0)
		return err_errno(err, -r, "reading a line");
	c->editor.plain = !terminal_has_colours();
	edit = edit_line(c, signal_fd, err);
	r = show(c, "", true, PASTE_OFF, edit < 0 ? NULL : err);
	if (edit < 0 || r < 0)
		return edit < 0 ? edit : r;
	if (edit != EDIT_LINE)
		return edit == EDIT_INTERRUPT ? CONSOLE_INTERRUPT : CONSOLE_END;
	*ret = buf_take(&c->editor.text, &len);
	return *ret ? CONSOLE_LINE : err_errno(err, ENOMEM, "reading a line");
}

/* ---- terminals without an editor ---- */

/* Moves bytes up to a new line into out; true when there was one. */
static bool take_line(struct console *c, struct buf *out)
{
	const unsigned char *start = c->input + c->used, *end;
	size_t left = c->n_input - c->used;

	end = memchr(start, '\n', left);
	buf_append(out, start, end ? (size_t)(end - start) : left);
	c->used += end ? (size_t)(end - start) + 1 : left;
	return end != NULL;
}

static int read_plain(struct console *c, int signal_fd, char **ret, struct err *err)
{
	struct buf line = BUF_INIT(LIMIT_PROMPT);
	size_t len;
	int r = 0;

	printf(">>> ");
	fflush(stdout);
	while (r == 0 && !take_line(c, &line))
		r = read_more(c, signal_fd, err);
	if (r == 0) {
		*ret = buf_take(&line, &len);
		return *ret ? CONSOLE_LINE : err_set(err, -EMSGSIZE, "the line is too long");
	}
	buf_finish(&line);
	printf("\n");
	if (r == -EINTR)
		return CONSOLE_INTERRUPT;
	return r < 0 ? r : CONSOLE_END;
}

int console_read(struct console *c, int signal_fd, char **ret, struct err *err)
{
	int r, back;

	/* A Ctrl-C that came too late for what it meant to end. */
	while (interrupt_take())
		;
	fflush(stdout);
	if (c->plain)
		return read_plain(c, signal_fd, ret, err);
	r = set_mode(c, true, err);
	if (r < 0)
		return r == -EIO ? CONSOLE_END : r;
	r = read_edited(c, signal_fd, ret, err);
	editor_finish(&c->editor);
	/* On the way out with an error that one is told, not what follows from it. */
	back = set_mode(c, false, r < 0 ? NULL : err);
	/* A terminal that is gone takes neither text nor modes: that is the end of input. */
	if (r == -EIO || back == -EIO)
		return CONSOLE_END;
	return back < 0 && r >= 0 ? back : r;
}
