#ifndef EASEL_COMMON_STORE_H
#define EASEL_COMMON_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/err.h"
#include "common/manifest.h"
#include "common/name.h"

/*
 * The models directory: content-addressed blobs and manifests, both the
 * legacy tree and manifests-v2. All writes are temporary file, fsync, rename, fsync
 * of the folder. Functions block on the disk; nothing is cached but the record of verified
 * blobs (common/verified.h). Not thread-safe, but where it says so.
 */
struct store;

/* Opens and, when missing, creates root with blobs/ and manifests/. */
int store_open(const char *root, struct store **ret, struct err *err);
void store_close(struct store *s);
const char *store_root(const struct store *s);

/* ---- blobs ---- */
/* Path of a blob; digest must be checked (digest_parse). */
void store_blob_path(const struct store *s, const char *digest, char *ret, size_t size);
/* 0 and the size, or -ENOENT naming the digest. */
int store_blob_stat(const struct store *s, const char *digest, uint64_t *ret_size, struct err *err);
/* Read-only descriptor, O_NOFOLLOW | O_CLOEXEC; -ENOENT "blob <digest> is missing ...". */
int store_blob_open(const struct store *s, const char *digest, struct err *err);
/* Whole small blob, NUL-terminated, at most max bytes; the caller frees. */
int store_blob_read(const struct store *s, const char *digest, size_t max,
		    char **ret, size_t *ret_len, struct err *err);

/*
 * From here on other processes free no blobs until this store writes a tag or is closed:
 * for who is about to name blobs that it has found. Waits while one is freeing.
 */
void store_hold(struct store *s);
/* Lets go of it without a tag. */
void store_unlock(struct store *s);

/*
 * For who writes many blobs for one tag: their folder is synced once, before the tag is
 * written, and not for each. Blobs themselves are synced as ever.
 */
void store_batch(struct store *s);

/* One blob being written and hashed; beginning one is a store_hold(). */
struct blob_writer;
int blob_writer_begin(struct store *s, struct blob_writer **ret, struct err *err);
int blob_writer_write(struct blob_writer *w, const void *data, size_t len, struct err *err);
/*
 * Finishes: *ret_new false when a blob of that digest and size was there already, which is
 * replaced unless it is known to be whole; so is one of another size, which is damaged.
 * What is written is on record as verified. Frees w, also on error.
 */
int blob_writer_commit(struct blob_writer *w, char ret_digest[DIGEST_SIZE], bool *ret_new, struct err *err);
/* The same if the content is what digest says; else -EBADMSG, and nothing is kept. */
int blob_writer_commit_as(struct blob_writer *w, const char *digest, char ret_digest[DIGEST_SIZE], bool *ret_new,
			  struct err *err);
void blob_writer_abort(struct blob_writer *w);  /* NULL is fine; the temporary file is removed */
/* All three at once for small content. ret_new may be NULL. */
int store_blob_add(struct store *s, const void *data, size_t len, char ret_digest[DIGEST_SIZE],
		   bool *ret_new, struct err *err);

/*
 * Holds the store; true when a blob of that digest and size is there, which is then as
 * safe from pruning as one just written. Any thread, as the next.
 */
bool store_blob_touch(struct store *s, const char *digest, uint64_t size);
/* The same, but true only when it is known to be whole, so that it need not be written. */
bool store_blob_reuse(struct store *s, const char *digest, uint64_t size);
/* Sizes of all blobs, ascending: content of another size need not be looked for. The caller frees. */
int store_blob_sizes(const struct store *s, uint64_t **ret, size_t *ret_n, struct err *err);
bool store_sizes_have(const uint64_t *sizes, size_t n, uint64_t size);

/* ---- what is known to be whole: any thread ---- */
/* Whether a blob of that size is there and on record: we wrote or hashed it, nobody changed it since. */
bool store_blob_known(struct store *s, const char *digest, uint64_t size);
/* Puts an open blob on record whose content was hashed and is on the disk. */
void store_blob_note(struct store *s, const char *digest, int fd);
/*
 * Hashes a blob whatever the record says, and puts it on record. go_on gets the bytes of
 * each piece and may say false; it may be NULL. -EBADMSG "blob <digest> is damaged: ...",
 * -ENOENT as of store_blob_open(), -EIO for what cannot be read, -ECANCELED.
 */
int store_blob_check(struct store *s, const char *digest, bool (*go_on)(void *context, size_t bytes),
		     void *context, struct err *err);

/* ---- tags ---- */
/*
 * Maps a name onto existing spelling: exact match, else the single case-insensitive
 * match, else the longest matching prefix's spelling.
 */
int store_resolve(struct store *s, const struct model_name *name, struct model_name *ret, struct err *err);
/* Whether a tag of exactly this spelling is there, good or damaged. */
bool store_has(struct store *s, const struct model_name *name);
/* What store_resolve() makes of a name among n that are known, at(context, i) each. */
void store_resolve_among(const struct model_name *name, const struct model_name *(*at)(const void *context, size_t i),
			 const void *context, size_t n, struct model_name *ret);
/* Reads the tag (v2, else legacy). -ENOENT "model '<short>' not found", -EBADMSG when damaged. */
int store_read(struct store *s, const struct model_name *name, struct manifest **ret, struct err *err);
/* The tag's bytes as they are, NUL-terminated; the caller frees. -ENOENT as of store_read(). */
int store_read_bytes(struct store *s, const struct model_name *name, char **ret, size_t *ret_len, struct err *err);
/* Writes manifest blob, v2 link and legacy file. */
int store_write(struct store *s, const struct model_name *name, const void *bytes, size_t len, struct err *err);
/* Removes the tag everywhere, then blobs that no readable manifest uses (none are freed while one is unreadable). */
int store_delete(struct store *s, const struct model_name *name, struct err *err);
int store_copy(struct store *s, const struct model_name *from, const struct model_name *to, struct err *err);

/* Every name that has a tag, good or damaged, each once, sorted; the caller frees. */
int store_names(struct store *s, struct model_name **ret, size_t *ret_n, struct err *err);
/* The name of a tag by its file: folder is "manifests[-v2]/host/namespace/model". False: it has none. */
bool store_tag_name(const char *folder, const char *tag, struct model_name *ret);
/*
 * What the disk says of a tag's files without reading them: equal bytes mean that nothing
 * changed. newest_ns is their latest change, Unix time; 0 when there is none.
 */
struct store_stamp {
	int64_t newest_ns;
	struct {
		uint64_t inode, size;
		int64_t changed_ns;
	} files[6];
};
void store_stamp(const struct store *s, const struct model_name *name, struct store_stamp *ret);

struct store_entry {
	struct model_name name;
	struct manifest *manifest;
};
/* All readable tags, newest mtime (whole seconds) first, ties by name; broken ones are logged at debug and skipped. */
int store_list(struct store *s, struct store_entry **ret, size_t *ret_n, struct err *err);
void store_list_free(struct store_entry *entries, size_t n);
/* Frees blobs of old that nothing uses any more; used when a tag was replaced. */
int store_release(struct store *s, const struct manifest *old, struct err *err);
/*
 * Remembers a manifest whose blobs are on their way, so that a sweep keeps those that are
 * there, for a week. Its digest names it.
 */
int store_pending_add(struct store *s, const char *digest, const void *bytes, size_t len, struct err *err);
void store_pending_remove(struct store *s, const char *digest);
/*
 * Where space is needed: frees what interrupted pulls have of blobs, but not of those that
 * wanted() names (NULL: none), of pulls under way, or younger than an hour. Any process may.
 */
void store_free_partials(const struct store *s, bool (*wanted)(const void *context, const char *digest),
			 const void *context);
/*
 * Start-up sweep: unreferenced blobs and left-over files older than an hour, partial
 * downloads older than a week, empty folders. -EBADMSG, naming the tag, and nothing
 * freed while one cannot be read.
 */
int store_prune(struct store *s, struct err *err);

#endif
