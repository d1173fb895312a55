#ifndef EASEL_CLI_UNLOAD_H
#define EASEL_CLI_UNLOAD_H

#include "cli/client.h"

/* Asks the server to unload a model, with a spinner; the sentence is the server's. */
int unload_model(struct client *c, const char *name, bool quiet, struct err *err);

#endif
