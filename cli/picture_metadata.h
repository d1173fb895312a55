#ifndef EASEL_CLI_PICTURE_METADATA_H
#define EASEL_CLI_PICTURE_METADATA_H

#include <jansson.h>

#include "common/err.h"

/*
 * What a PNG, JPEG or WebP says about how it was drawn, as an object: easel (version), model, digest,
 * prompt, negative_prompt, scheduler, step_cache are strings, seed, steps, width, height
 * integers, guidance is a number; any may be absent. It is easel's own text of the file or,
 * without one, what "parameters" of other tools says in a PNG. -ENODATA when there is neither; errors
 * name the file.
 */
int picture_metadata_read(const char *path, json_t **ret, struct err *err);

/* The same of the text of "parameters" alone; NULL when it is none. */
json_t *picture_metadata_parse(const char *parameters);

#endif
