#ifndef EASEL_RUNNER_IMPORT_SOURCE_H
#define EASEL_RUNNER_IMPORT_SOURCE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/store.h"

/*
 * The folder a model is made from, read-only. Files are named relative to it with
 * slashes. A symbolic link is followed only when it ends inside the folder or in the
 * "blobs" folder of a download cache it lies in; devices and pipes are refused. Or the
 * same as a client sent it: blobs of the store under the names that the folder has.
 */
struct source;

/* directory is absolute. -EINVAL with the reason, also when it is no folder. */
int source_open(const char *directory, struct source **ret, struct err *err);
/* files: path -> digest; both must outlive it, and the store should be held. -EINVAL names what is missing. */
int source_of_blobs(struct store *store, const json_t *files, struct source **ret, struct err *err);
void source_close(struct source *s);                    /* NULL is fine */
const char *source_path(const struct source *s);

bool source_has_folder(const struct source *s, const char *folder);
/* Names in a folder ("" = the root itself) in byte order, ends with NULL; names_free(). */
int source_list(const struct source *s, const char *folder, char ***ret, struct err *err);
void names_free(char **names);

/* A descriptor of a regular file, the caller's to close. -ENOENT when absent, -EISDIR for a folder. */
int source_file(const struct source *s, const char *name, struct err *err);
/* A whole small file, NUL-terminated, the caller's to free. */
int source_read(const struct source *s, const char *name, size_t max,
		char **ret, size_t *ret_len, struct err *err);

#endif
