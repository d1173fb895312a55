#ifndef EASEL_RUNNER_IMPORT_MODELFILE_H
#define EASEL_RUNNER_IMPORT_MODELFILE_H

#include <jansson.h>

#include "common/err.h"
#include "common/proto.h"
#include "runner/import/output.h"

/*
 * The layers that a Modelfile's own lines make, in layer order: template, system,
 * licenses, parameters. A license text that the model has already is not added again.
 */
int modelfile_write(struct output *o, const struct msg_import *request, const json_t *parameters,
		    struct err *err);

#endif
