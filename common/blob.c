/*
 * Blobs of a store: content named by its SHA-256. A writer owns its temporary file;
 * one thread per store, blocks on the disk.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/store_internal.h"

#define WRITE_BACK (32u << 20)          /* bytes after which the disk is set to work */

struct blob_writer {
	struct store *store;
	struct digest *digest;
	uint64_t size;
	int fd;
	char path[STORE_PATH];          /* of the temporary file */
};

void store_blob_path(const struct store *s, const char *digest, char *ret, size_t size)
{
	snprintf(ret, size, "%s/blobs/sha256-%s", s->root, digest + strlen("sha256:"));
}

static int missing(const char *digest, int errno_value, struct err *err)
{
	if (errno_value == ENOENT)
		return err_set(err, -ENOENT, "blob %s is missing: create or pull the model again", digest);
	return err_errno(err, errno_value, "failed to open blob %s", digest);
}

int store_blob_stat(const struct store *s, const char *digest, uint64_t *ret_size, struct err *err)
{
	char path[STORE_PATH];
	struct stat st;

	store_blob_path(s, digest, path, sizeof path);
	if (lstat(path, &st) < 0)
		return missing(digest, errno, err);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EBADMSG, "blob %s is no regular file", digest);
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

int store_blob_open(const struct store *s, const char *digest, struct err *err)
{
	char path[STORE_PATH];
	int fd;

	store_blob_path(s, digest, path, sizeof path);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? missing(digest, errno, err) : fd;
}

int store_blob_read(const struct store *s, const char *digest, size_t max,
		    char **ret, size_t *ret_len, struct err *err)
{
	int fd = store_blob_open(s, digest, err), r;

	if (fd < 0)
		return fd;
	r = file_load_fd(fd, digest, max, ret, ret_len, err);
	close(fd);
	return r;
}

/* A new file "sha256-<digits>", which no digest can be called. */
static int open_temporary(struct blob_writer *w, struct err *err)
{
	uint64_t number;

	do {
		if (getrandom(&number, sizeof number, 0) != sizeof number)
			return err_errno(err, errno, "no random number");
		snprintf(w->path, sizeof w->path, "%s/blobs/sha256-%020llu", w->store->root,
			 (unsigned long long)number);
		w->fd = open(w->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	} while (w->fd < 0 && errno == EEXIST);
	return w->fd < 0 ? err_errno(err, errno, "failed to create %s", w->path) : 0;
}

int blob_writer_begin(struct store *s, struct blob_writer **ret, struct err *err)
{
	struct blob_writer *w = calloc(1, sizeof *w);
	int r;

	if (!w)
		return err_set(err, -ENOMEM, "out of memory");
	store_hold(s);
	w->store = s;
	w->fd = -1;
	w->digest = digest_begin();
	r = w->digest ? open_temporary(w, err) : err_set(err, -ENOMEM, "out of memory");
	if (r < 0) {
		blob_writer_abort(w);
		return r;
	}
	*ret = w;
	return 0;
}

int blob_writer_write(struct blob_writer *w, const void *data, size_t len, struct err *err)
{
	uint64_t before = w->size;
	int r = file_write_all(w->fd, w->path, data, len, err);

	digest_update(w->digest, data, len);
	w->size += len;
	/* A hint: what goes to the disk by now need not be waited for at the end. */
	if (r == 0 && before / WRITE_BACK != w->size / WRITE_BACK)
		sync_file_range(w->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return r;
}

static int publish(struct blob_writer *w, const char *digest, struct err *err)
{
	char path[STORE_PATH];

	store_blob_path(w->store, digest, path, sizeof path);
	if (fsync(w->fd) < 0)
		return err_errno(err, errno, "failed to write %s", w->path);
	if (fchmod(w->fd, 0644) < 0 || rename(w->path, path) < 0)
		return err_errno(err, errno, "failed to rename %s", w->path);
	w->path[0] = '\0';
	store_blob_note(w->store, digest, w->fd);
	return dir_sync_parent(path, err);
}

int blob_writer_commit(struct blob_writer *w, char ret_digest[DIGEST_SIZE], bool *ret_new, struct err *err)
{
	return blob_writer_commit_as(w, NULL, ret_digest, ret_new, err);
}

int blob_writer_commit_as(struct blob_writer *w, const char *digest, char ret_digest[DIGEST_SIZE], bool *ret_new,
			  struct err *err)
{
	bool there, known;
	int r = 0;

	digest_end(w->digest, ret_digest);
	w->digest = NULL;
	if (digest && strcmp(digest, ret_digest)) {
		blob_writer_abort(w);
		return err_set(err, -EBADMSG, "content of blob %s is %s", digest, ret_digest);
	}
	there = verified_touch(w->store->verified, ret_digest, w->size, &known);
	if (!known)
		r = publish(w, ret_digest, err);
	if (ret_new)
		*ret_new = !there;
	blob_writer_abort(w);
	return r;
}

void blob_writer_abort(struct blob_writer *w)
{
	if (!w)
		return;
	digest_abort(w->digest);
	if (w->fd >= 0)
		close(w->fd);
	if (w->path[0] && w->fd >= 0)
		unlink(w->path);
	free(w);
}

bool store_blob_touch(struct store *s, const char *digest, uint64_t size)
{
	bool known;

	store_hold(s);
	return verified_touch(s->verified, digest, size, &known);
}

bool store_blob_reuse(struct store *s, const char *digest, uint64_t size)
{
	bool known;

	store_hold(s);
	return verified_touch(s->verified, digest, size, &known) && known;
}

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

bool store_sizes_have(const uint64_t *sizes, size_t n, uint64_t size)
{
	return n && bsearch(&size, sizes, n, sizeof size, by_size);
}

/* Appends one size; the array doubles at powers of two. */
static int add_size(uint64_t **sizes, size_t *n, uint64_t size)
{
	uint64_t *more = *sizes;

	if ((*n & (*n - 1)) == 0)
		more = realloc(more, (*n ? 2 * *n : 1) * sizeof *more);
	if (!more)
		return -ENOMEM;
	more[(*n)++] = size;
	*sizes = more;
	return 0;
}

int store_blob_sizes(const struct store *s, uint64_t **ret, size_t *ret_n, struct err *err)
{
	char path[STORE_PATH];
	uint64_t *sizes = NULL;
	struct dirent *entry;
	struct stat st;
	size_t n = 0;
	int r = 0;
	DIR *dir;

	snprintf(path, sizeof path, "%s/blobs", s->root);
	dir = opendir(path);
	if (!dir)
		return err_errno(err, errno, "cannot list %s", path);
	while (r == 0 && (entry = readdir(dir)))
		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
			r = add_size(&sizes, &n, (uint64_t)st.st_size);
	closedir(dir);
	if (r < 0) {
		free(sizes);
		return err_set(err, r, "out of memory");
	}
	if (n)
		qsort(sizes, n, sizeof *sizes, by_size);
	*ret = sizes;
	*ret_n = n;
	return 0;
}

int store_blob_add(struct store *s, const void *data, size_t len, char ret_digest[DIGEST_SIZE],
		   bool *ret_new, struct err *err)
{
	struct blob_writer *w;
	int r = blob_writer_begin(s, &w, err);

	if (r < 0)
		return r;
	r = blob_writer_write(w, data, len, err);
	if (r < 0) {
		blob_writer_abort(w);
		return r;
	}
	return blob_writer_commit(w, ret_digest, ret_new, err);
}
