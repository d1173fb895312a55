/*
 * Whether blobs are what their names say: by the record, or by hashing. Owns nothing; any
 * thread, blocks on the disk.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/store_internal.h"

enum { PIECE = 256 << 10 };

bool store_blob_known(struct store *s, const char *digest, uint64_t size)
{
	char path[STORE_PATH];
	struct stat st;

	store_blob_path(s, digest, path, sizeof path);
	return lstat(path, &st) == 0 && (uint64_t)st.st_size == size && verified_has(s->verified, digest, &st);
}

void store_blob_note(struct store *s, const char *digest, int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0)
		verified_note(s->verified, digest, &st);
}

static int hash(int fd, const char *digest, bool (*go_on)(void *context, size_t bytes), void *context,
		char ret[DIGEST_SIZE], struct err *err)
{
	struct digest *d = digest_begin();
	char *piece = malloc(PIECE);
	ssize_t n = 1;
	int r = d && piece ? 0 : err_set(err, -ENOMEM, "out of memory");

	while (r == 0 && n) {
		n = read(fd, piece, PIECE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			err_errno(err, errno, "blob %s cannot be read", digest);
			r = err ? (err->code = -EIO) : -EIO;
			break;
		}
		digest_update(d, piece, (size_t)n);
		if (go_on && !go_on(context, (size_t)n))
			r = err_set(err, -ECANCELED, "cancelled");
	}
	free(piece);
	if (r == 0)
		digest_end(d, ret);
	else
		digest_abort(d);
	return r;
}

/* Whether nobody wrote while we read. */
static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && !memcmp(&a->st_mtim, &b->st_mtim, sizeof a->st_mtim) &&
	       !memcmp(&a->st_ctim, &b->st_ctim, sizeof a->st_ctim);
}

static int check(struct store *s, const char *digest, int fd, bool (*go_on)(void *context, size_t bytes),
		 void *context, struct err *err)
{
	char actual[DIGEST_SIZE];
	struct stat before, after;
	int r = 0;

	if (fstat(fd, &before) < 0 || !S_ISREG(before.st_mode))
		return err_set(err, -EIO, "blob %s is no regular file", digest);
	r = hash(fd, digest, go_on, context, actual, err);
	if (r < 0)
		return r;
	if (strcmp(actual, digest))
		return err_set(err, -EBADMSG, "blob %s is damaged: its content is %.19s...", digest, actual);
	/* What only memory has may be lost with the power, and the file's times not. */
	if (fsync(fd) == 0 && fstat(fd, &after) == 0 && is_same(&before, &after))
		verified_note(s->verified, digest, &after);
	return 0;
}

int store_blob_check(struct store *s, const char *digest, bool (*go_on)(void *context, size_t bytes),
		     void *context, struct err *err)
{
	int fd = store_blob_open(s, digest, err), r;

	if (fd < 0)
		return fd;
	r = check(s, digest, fd, go_on, context, err);
	close(fd);
	return r;
}
