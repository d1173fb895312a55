#ifndef EASEL_CLI_INTERRUPT_H
#define EASEL_CLI_INTERRUPT_H

#include <stdbool.h>

#include "common/err.h"

/*
 * From here on SIGINT, SIGTERM and SIGHUP end nothing by themselves but make the
 * returned descriptor readable (one that the process was told to ignore stays
 * ignored). Nothing reads it: the signal stays pending for the two functions below.
 */
int interrupt_open(struct err *err);

/* Takes a pending SIGINT, so that it ends nothing; false when there is none. */
bool interrupt_take(void);

/* Lets a pending signal end the process as it would have; returns when there is none. */
void interrupt_deliver(void);

#endif
