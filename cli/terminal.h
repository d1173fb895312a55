#ifndef EASEL_CLI_TERMINAL_H
#define EASEL_CLI_TERMINAL_H

#include <stdbool.h>

/* A terminal that understands cursor movement; a file, a pipe or TERM=dumb does not. */
bool terminal_can_redraw(int fd);
/* Unless NO_COLOR is set. */
bool terminal_has_colours(void);
/* 24 by 80 when unknown. */
void terminal_size(int fd, unsigned *ret_rows, unsigned *ret_columns);

#endif
