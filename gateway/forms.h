#ifndef EASEL_GATEWAY_FORMS_H
#define EASEL_GATEWAY_FORMS_H

#include <jansson.h>

#include "common/err.h"
#include "common/fields.h"
#include "gateway/picture_inputs.h"
#include "gateway/upload.h"

/*
 * A multipart/form-data body -> pictures, and a JSON object of its other parts, typed as
 * the rows of table want them, so that the reader of JSON bodies reads forms too. Parts
 * that no row names are skipped; of equal names the last one holds. Pure; -EINVAL.
 */
int form_read(const char *content_type, struct upload *body, const struct field *table,
	      json_t **ret_members, struct picture_sources *ret_sources, struct err *err);

#endif
