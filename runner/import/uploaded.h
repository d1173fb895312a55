#ifndef EASEL_RUNNER_IMPORT_UPLOADED_H
#define EASEL_RUNNER_IMPORT_UPLOADED_H

#include <jansson.h>
#include <stdbool.h>

#include "common/err.h"
#include "common/store.h"

/*
 * A model folder that lies in no file system: an object path ("vae/config.json") -> digest
 * of a blob. Paths are only compared, never opened. These are the halves of source.h's
 * functions for such a source.
 */

/*
 * -EINVAL for what is no digest, and with the names and digests of blobs that are not there or
 * damaged; such a one is freed unless a tag uses it, and the store no longer held.
 */
int uploaded_check(struct store *s, const json_t *files, struct err *err);
bool uploaded_has_folder(const json_t *files, const char *folder);
/* Names right below folder ("" = the top) in byte order; names_free(). */
int uploaded_list(const json_t *files, const char *folder, char ***ret, struct err *err);
/* A descriptor of the blob; -ENOENT when there is no such path. */
int uploaded_file(const struct store *s, const json_t *files, const char *name, struct err *err);
/*
 * Frees the blobs that no tag uses and nobody has claimed since a moment (Unix time): they
 * were sent for one model's sake, and it is made.
 */
int uploaded_release(struct store *s, const json_t *files, int64_t since_ns, struct err *err);

#endif
