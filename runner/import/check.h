#ifndef EASEL_RUNNER_IMPORT_CHECK_H
#define EASEL_RUNNER_IMPORT_CHECK_H

#include "common/err.h"
#include "common/store.h"
#include "runner/import/plan.h"

/*
 * Whether the planned tensors and configs make a model that can be drawn with: float
 * weights, and every name and shape as the model's code wants them. -EINVAL names all
 * that is wrong.
 */
int check_model(struct plan *p, struct err *err);
/* -ENOSPC with needed and free bytes, when not even freeing what pulls left would do. */
int check_space(const struct plan *p, const struct store *s, struct err *err);

#endif
