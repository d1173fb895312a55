#ifndef EASEL_RUNNER_IMPORT_LAYERS_H
#define EASEL_RUNNER_IMPORT_LAYERS_H

#include "common/err.h"
#include "runner/import/options.h"
#include "runner/import/plan.h"

/* Which tensor of a source becomes which blob, and in what form. Reads no tensor data. */

/* Those of all files of the plan, whose texts are there. -EINVAL for what cannot be kept or quantised. */
int layers_of_files(struct plan *p, const struct options *options, struct err *err);
/*
 * One tensor, a float one in the form asked for where the rules want it so (docs/BLOBS.md).
 * name is "component/tensor", the plan's from now on.
 */
int layers_add(struct plan *p, char *name, const struct st_tensor *t, const struct plan_array *from,
	       const struct options *options, struct err *err);
/* An empty one at the end; name is the plan's from now on. NULL, and name freed, without memory. */
struct plan_tensor *layers_append(struct plan *p, char *name);

#endif
