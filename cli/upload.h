#ifndef EASEL_CLI_UPLOAD_H
#define EASEL_CLI_UPLOAD_H

#include <jansson.h>

#include "cli/client.h"

/*
 * Gives the server the files of a model's folder that it lacks, with a bar for each on
 * c->progress, which must be set. path: the folder, or a GGUF file in it that is the
 * transformer. *ret_files: path in the folder -> digest, as a create wants them. What was
 * sent before an error is found there by the next try.
 */
int upload_folder(struct client *c, const char *path, json_t **ret_files, struct err *err);

#endif
