#ifndef EASEL_CLI_TRANSFER_H
#define EASEL_CLI_TRANSFER_H

#include <stdbool.h>

#include "cli/client.h"

/* Pulling and pushing: what easel pull, push and run share. */
struct transfer_flags {
	bool insecure, quiet;
};

/*
 * Has the server pull or push the model, with progress on stderr. Errors as those of
 * client_stream(), -ECANCELED after a signal; -EOPNOTSUPP when the server refused to begin a
 * pull.
 */
int transfer_pull(struct client *c, const char *model, const struct transfer_flags *f,
		  struct err *err);
int transfer_push(struct client *c, const char *model, const struct transfer_flags *f,
		  struct err *err);

#endif
