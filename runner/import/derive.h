#ifndef EASEL_RUNNER_IMPORT_DERIVE_H
#define EASEL_RUNNER_IMPORT_DERIVE_H

#include "common/err.h"
#include "runner/import/import.h"
#include "runner/import/options.h"

/* request->from, a model of the store, becomes a model with other settings. */
int derive_import(const struct msg_import *request, const struct options *options,
		  const struct import_hooks *hooks, struct import_result *ret, struct err *err);

#endif
