#ifndef EASEL_RUNNER_IMPORT_TENSORS_H
#define EASEL_RUNNER_IMPORT_TENSORS_H

#include "common/err.h"
#include "runner/import/output.h"
#include "runner/import/plan.h"

/* Every planned tensor becomes a blob and a layer, in order; -ECANCELED between pieces. */
int tensors_write(struct output *o, const struct plan *p, struct err *err);

#endif
