#ifndef EASEL_RUNNER_IMPORT_FOLDER_H
#define EASEL_RUNNER_IMPORT_FOLDER_H

#include "common/err.h"
#include "runner/import/import.h"
#include "runner/import/options.h"

/* request->directory or request->files becomes a model. */
int folder_import(const struct msg_import *request, const struct options *options,
		  const struct import_hooks *hooks, struct import_result *ret, struct err *err);

#endif
