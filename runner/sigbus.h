#ifndef EASEL_RUNNER_SIGBUS_H
#define EASEL_RUNNER_SIGBUS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A mapped file that is cut off raises SIGBUS where it is read. The process cannot go
 * on, but its last line can say which blob it was.
 */

/* Names a mapping; installs the handler at the first call. False without memory. */
bool sigbus_watch(const void *map, size_t len, const char *name);
void sigbus_forget(const void *map);

#endif
