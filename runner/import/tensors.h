#ifndef EASEL_RUNNER_IMPORT_TENSORS_H
#define EASEL_RUNNER_IMPORT_TENSORS_H

#include "common/err.h"
#include "runner/import/output.h"
#include "runner/import/plan.h"

/*
 * Notes in the plan which tensors the store has already, so that they are neither counted
 * nor written again: an import that was cancelled, or is made anew, goes on from there.
 */
int tensors_find(struct output *o, struct plan *p, struct err *err);
/*
 * Every planned tensor that is not there becomes a blob, noted in the plan: read, encoded,
 * hashed and written in one pass, several at a time. -ECANCELED between pieces.
 */
int tensors_write(struct output *o, struct plan *p, struct err *err);
/* A written one as the next layer. */
int tensors_layer(struct output *o, const struct plan_tensor *t, struct err *err);

#endif
