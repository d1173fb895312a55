#ifndef EASEL_CLI_SAVE_H
#define EASEL_CLI_SAVE_H

#include <stddef.h>

#include "common/err.h"

/*
 * Whether a picture could be written to output: a file, an existing folder, "-" for
 * standard output, NULL for the current folder. Asked before hours of drawing.
 */
int save_check(const char *output, struct err *err);

/*
 * Writes the picture. In a folder the name is made of prompt and local time and never
 * one that exists; a file is replaced as a whole. *ret_path: the file, the caller's
 * to free, NULL for standard output.
 */
int save_picture(const char *output, const char *prompt, const void *png, size_t len,
		 char **ret_path, struct err *err);

#endif
