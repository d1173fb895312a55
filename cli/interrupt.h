#ifndef EASEL_CLI_INTERRUPT_H
#define EASEL_CLI_INTERRUPT_H

#include "common/err.h"

/*
 * From here on SIGINT, SIGTERM and SIGHUP end nothing by themselves but make the
 * returned descriptor readable (one that the process was told to ignore stays
 * ignored). Nothing reads it: the signal stays pending for interrupt_deliver().
 */
int interrupt_open(struct err *err);

/* Lets a pending signal end the process as it would have; returns when there is none. */
void interrupt_deliver(void);

#endif
