#ifndef EASEL_COMMON_STORE_INTERNAL_H
#define EASEL_COMMON_STORE_INTERNAL_H

#include <limits.h>

#include "common/store.h"
#include "common/verified.h"

/* Shared by blob.c, blob_check.c, prune.c, store.c, store_lock.c, tag.c and tag_write.c; nobody else. */
struct store {
	char *root;
	int lock;                       /* descriptor of the lock file, -1 on a read-only store */
	struct verified *verified;
	const char *v2_kind;            /* what tags are there that cannot be symbolic links; NULL: not said yet */
};

enum { STORE_PATH = PATH_MAX };

/* Where tags live; order is the order of reading. */
enum tag_tree { TAG_V2, TAG_LEGACY, TAG_LEGACY_OTHER, TAG_TREES };

/* The lock that store_hold() takes shared; who frees blobs or removes folders needs it alone. */
void store_lock_open(struct store *s);
bool store_lock_alone(struct store *s); /* false at once when somebody holds it */

/* "registry.ollama.ai" and "ollama.com" are one registry with two names on disk. */
bool tag_host_is_public(const char *host);
void tag_path(const struct store *s, const struct model_name *name, enum tag_tree tree, char ret[STORE_PATH]);
/* The bytes of a tag from the newer of its forms; -ENOENT when there is none. */
int tag_read(const struct store *s, const struct model_name *name, char **ret, size_t *ret_len,
	     int64_t *ret_mtime_ns, struct err *err);

/*
 * Writes a tag in both trees: first all that may find the disk full, then the renames, so
 * that a failure leaves the tag as it was.
 */
int tag_write(struct store *s, const struct model_name *name, const void *bytes, size_t len, struct err *err);

/* Whether some tree has a file of exactly this name, good or damaged. */
bool tag_exists(const struct store *s, const struct model_name *name);
/* Every name that has a tag, each once, sorted; the caller frees. */
int tag_names(const struct store *s, struct model_name **ret, size_t *ret_n, struct err *err);
/* Removes the empty folders between a removed tag and its tree's root. */
void tag_prune_parents(const struct store *s, const char *path);

#endif
