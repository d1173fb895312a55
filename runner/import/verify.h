#ifndef EASEL_RUNNER_IMPORT_VERIFY_H
#define EASEL_RUNNER_IMPORT_VERIFY_H

#include "common/err.h"
#include "runner/import/import.h"

/*
 * Reads every blob of request->model, whatever is on record, and compares it with its digest; ret->layers counts
 * them. -EBADMSG naming the first one that is missing or damaged, how many are, and what
 * to do; each has a status line. -ECANCELED, -ENOENT for an unknown model.
 */
int verify_run(const struct msg_import *request, const struct import_hooks *hooks, struct import_result *ret,
	       struct err *err);

#endif
