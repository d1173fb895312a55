#ifndef EASEL_CLI_PICTURE_H
#define EASEL_CLI_PICTURE_H

#include "cli/attachments.h"
#include "cli/client.h"
#include "cli/picture_options.h"
#include "common/err.h"

/* How far a picture came; a failure is told by it. */
enum picture_stage { PICTURE_DRAW, PICTURE_DECODE, PICTURE_SAVE };

/* Reads the files that the flags name; attachments_finish() in any case. */
int picture_attach(const struct picture_flags *f, struct attachments *ret, struct err *err);
/* Loads the model, with a spinner on stderr. */
int picture_load(struct client *c, const struct picture_flags *f, const char *model,
		 struct err *err);
/*
 * Draws, with progress on stderr, saves and says where on stdout. -ECANCELED after a
 * signal. *ret_stage: where it failed.
 */
int picture_make(struct client *c, const struct picture_flags *f, const char *model,
		 const char *prompt, const struct attachments *a, enum picture_stage *ret_stage,
		 struct err *err);

#endif
