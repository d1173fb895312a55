#ifndef EASEL_RUNNER_IMPORT_TENSORS_H
#define EASEL_RUNNER_IMPORT_TENSORS_H

#include "common/err.h"
#include "runner/import/output.h"
#include "runner/import/plan.h"

/*
 * Notes in the plan which tensors the store has already, so that they are neither counted
 * nor written again: an import that was cancelled, or is made anew, goes on from there.
 */
int tensors_find(struct output *o, const struct plan *p, struct err *err);
/* Every planned tensor becomes a blob and a layer, in order; -ECANCELED between pieces. */
int tensors_write(struct output *o, const struct plan *p, struct err *err);

#endif
