#ifndef EASEL_CLI_SOURCE_H
#define EASEL_CLI_SOURCE_H

#include <stdbool.h>

#include "cli/modelfile.h"
#include "common/err.h"

/* What a model is made from: a Modelfile, if there is one, and a folder or a model. */
struct source {
	struct modelfile modelfile;
	char *from;                     /* absolute folder, or the name of a model */
	bool is_folder;
};

/*
 * file: the Modelfile that was named, or NULL for the one in folder, if any. folder:
 * the folder that was named, or NULL for the current one. source_finish() in any case.
 */
int source_find(const char *file, const char *folder, struct source *ret, struct err *err);
void source_finish(struct source *s);

#endif
