#ifndef EASEL_RUNNER_IMPORT_OPTIONS_H
#define EASEL_RUNNER_IMPORT_OPTIONS_H

#include <jansson.h>

#include "common/err.h"
#include "common/name.h"
#include "common/proto.h"
#include "runner/quant/quant.h"

/* The checked part of a request that does not depend on the source. */
struct options {
	struct model_name name;                 /* of the new model */
	char short_name[NAME_TEXT_SIZE];
	json_t *parameters;                     /* object of those that requests use, may be empty */
	char *quantize;                         /* as asked for, in lower case; NULL: not */
	struct quant quant;                     /* what that means; scale_dtype is the tensor's */
};

/* -EINVAL with the text for the user; looks at no file. */
int options_read(const struct msg_import *request, struct options *ret, struct err *err);
void options_finish(struct options *o);

#endif
