#ifndef EASEL_COMMON_VERIFIED_H
#define EASEL_COMMON_VERIFIED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/err.h"

/*
 * The record of blobs known to be what their names say: those that we wrote or hashed, by
 * inode, size and times of the file, so that any change takes a blob off it (but one within
 * a tick of the file system's clock). One file of the store, ".easel-verified", a line a
 * blob, only ever appended to and replaced whole: processes share it without a lock. What
 * cannot be read of it, a torn line or all of it, is not on record; nothing depends on it
 * but time. All functions may be called by any thread.
 */
struct verified;

/* For the store of that folder; reads nothing yet. */
int verified_open(const char *root, struct verified **ret, struct err *err);
void verified_close(struct verified *v);        /* NULL is fine */

/* Whether exactly this file is on record; sees what other processes have added. */
bool verified_has(struct verified *v, const char *digest, const struct stat *st);
/* Adds a file whose bytes are on the disk. A full or read-only disk only costs another hash. */
void verified_note(struct verified *v, const char *digest, const struct stat *st);
/*
 * Makes a blob young; true when a file of that size is there. What was on record stays on
 * it, and *ret_known says whether it is.
 */
bool verified_touch(struct verified *v, const char *digest, uint64_t size, bool *ret_known);
/* Drops what is gone or has changed since. Blocks for an lstat() a blob. */
void verified_tidy(struct verified *v);

#endif
