#ifndef EASEL_COMMON_FILE_H
#define EASEL_COMMON_FILE_H

#include <stddef.h>

#include "common/err.h"

/* Whole files, and writing that leaves the old or the new file, never a part. Errors name the path. */

/* The whole of a regular file of at most max bytes, NUL-terminated; the caller frees *ret. */
int file_load(const char *path, size_t max, char **ret, size_t *ret_len, struct err *err);
/* The same from a descriptor at its start; path is for errors only. */
int file_load_fd(int fd, const char *path, size_t max, char **ret, size_t *ret_len, struct err *err);
int file_write_all(int fd, const char *path, const void *data, size_t len, struct err *err);

#define FILE_TEMP_PREFIX ".easel-"      /* of what a crash may leave behind */
/* A temporary file (FILE_TEMP_PREFIX) in the same folder, fsync, rename, fsync of the folder; mode 0644. */
int file_replace(const char *path, const void *data, size_t len, struct err *err);
/*
 * Its two halves, for who replaces several files or none: all that can take space, into a
 * temporary file whose name goes to ret_temp; the rename, which removes it when it fails.
 */
int file_prepare(const char *path, const void *data, size_t len, char *ret_temp, size_t size, struct err *err);
int file_commit(const char *temp, const char *path, struct err *err);
/* A free name beside path for a temporary file or link. */
void file_temp_name(const char *path, char *ret, size_t size);

/* mkdir -p, mode 0755; new folders are synced into their parents. */
int dir_make(const char *path, struct err *err);
int dir_sync(const char *path, struct err *err);
/* dir_make() and dir_sync() of the folder that path is in. */
int dir_make_parent(const char *path, struct err *err);
int dir_sync_parent(const char *path, struct err *err);

#endif
