#ifndef EASEL_CLI_MODELFILE_H
#define EASEL_CLI_MODELFILE_H

#include <jansson.h>
#include <stddef.h>

#include "common/err.h"

/* What a Modelfile says about an image model. Everything is owned. */
struct modelfile {
	char *from;                     /* the last FROM, or NULL */
	char *system, *template, *requires;     /* NULL: not given */
	json_t *parameters;             /* object, or NULL */
	json_t *licenses;               /* array, or NULL */
};

/*
 * Parses len bytes. -EINVAL with the sentence: an unknown command or parameter, an
 * open quote, a value of the wrong type, a command that image models do not have.
 * modelfile_finish() in any case.
 */
int modelfile_parse(const char *text, size_t len, struct modelfile *ret, struct err *err);
/* Reads and parses a file; -ENOENT when there is none. */
int modelfile_read(const char *path, struct modelfile *ret, struct err *err);
void modelfile_finish(struct modelfile *m);

#endif
