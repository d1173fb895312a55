#ifndef EASEL_CLI_SESSION_H
#define EASEL_CLI_SESSION_H

#include <jansson.h>

#include "cli/picture.h"

/*
 * easel run on a terminal without a prompt: loads the model and draws what is typed
 * until the user leaves. show is the server's answer about the model.
 */
int session_run(struct client *c, const struct picture_flags *flags, const char *model,
		const json_t *show, struct err *err);

#endif
