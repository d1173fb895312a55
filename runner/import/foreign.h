#ifndef EASEL_RUNNER_IMPORT_FOREIGN_H
#define EASEL_RUNNER_IMPORT_FOREIGN_H

#include "common/err.h"
#include "runner/import/options.h"
#include "runner/import/plan.h"

/*
 * Weights that other programs have quantised in forms that are not read: -EINVAL says whose
 * form it is and what to take instead. The plan's texts must be there.
 */

/* By what the component's config says. */
int foreign_check_config(const struct plan *p, const char *component, const struct options *options, struct err *err);
/* By one tensor of a file, the second look: configs do not always tell. */
int foreign_check_tensor(const struct plan *p, const struct plan_file *f, const struct st_tensor *t,
			 const struct options *options, struct err *err);

#endif
