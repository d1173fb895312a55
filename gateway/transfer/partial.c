/*
 * Blobs coming in. Owns the file and its hash, which belong to the strand's jobs, and
 * blocks of data on their way there; the rest belongs to the event loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/limits.h"
#include "gateway/transfer/partial.h"

#define BLOCK (256u << 10)
#define MAX_BLOCKS 8u                   /* of one blob, on their way to the disk */
#define WRITE_BACK (32u << 20)          /* bytes after which the disk is set to work */

struct block {
	struct disk_job job;
	struct partial *partial;
	size_t len;
	char data[BLOCK];
};

struct restart {
	struct disk_job job;
	struct partial *partial;
};

struct partial {
	struct disk *disk;
	struct store *store;
	struct strand strand;
	const struct partial_handler *handler;
	void *owner;
	struct disk_job job;            /* open, sync, publish */
	struct disk_job close;
	struct block *filling;
	unsigned n_blocks;              /* posted */
	bool blocked;                   /* drained() is owed */
	uint64_t len;
	char digest[DIGEST_SIZE];
	uint64_t size;
	char path[4096], final[4096];
	/* Of the strand. */
	int fd;
	struct digest *hash;
	uint64_t written;
	struct err err;                 /* of writing, kept until it is told */
	bool published;
	_Atomic bool failed;
	_Atomic bool stop;              /* read no more, nobody wants it */
};

/* ---- on the disk's threads ---- */

static int hash_file(int fd, struct digest *hash, uint64_t *ret_len, const _Atomic bool *stop)
{
	char *data = malloc(BLOCK);
	ssize_t n = 1;

	while (data && n > 0 && !*stop) {
		n = pread(fd, data, BLOCK, (off_t)*ret_len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0) {
			digest_update(hash, data, (size_t)n);
			*ret_len += (uint64_t)n;
		}
	}
	free(data);
	if (!data)
		return -ENOMEM;
	return n < 0 ? -errno : *stop ? -ECANCELED : 0;
}

static void fail(struct partial *p, const char *what)
{
	if (!p->failed)
		err_errno(&p->err, errno, "%s %s", what, p->path);
	p->failed = true;
}

static int hash_again(struct partial *p)
{
	digest_abort(p->hash);
	p->written = 0;
	p->hash = digest_begin();
	if (p->hash)
		return 0;
	errno = ENOMEM;
	fail(p, "hash");
	return -ENOMEM;
}

static void empty_file(struct partial *p)
{
	if (hash_again(p) == 0 && ftruncate(p->fd, 0) < 0)
		fail(p, "empty");
}

/* Another process may have renamed the file between open and lock. */
static bool is_still_there(const struct partial *p)
{
	struct stat mine, there;

	return fstat(p->fd, &mine) == 0 && lstat(p->path, &there) == 0 &&
	       mine.st_ino == there.st_ino && mine.st_dev == there.st_dev;
}

static int open_locked(struct partial *p)
{
	p->fd = open(p->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (p->fd < 0)
		return fail(p, "create"), -1;
	if (flock(p->fd, LOCK_EX | LOCK_NB) == 0 ? is_still_there(p) : errno != EWOULDBLOCK)
		return 0;
	close(p->fd);
	p->fd = -1;
	p->failed = true;
	return err_set(&p->err, -EBUSY, "another process is fetching %s", p->digest);
}

static void run_open(void *arg)
{
	struct partial *p = arg;
	struct stat st;
	int r;

	if (open_locked(p) < 0 || hash_again(p) < 0)
		return;
	if (fstat(p->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		fail(p, "read");
		return;
	}
	if ((uint64_t)st.st_size > p->size) {
		empty_file(p);
		return;
	}
	r = hash_file(p->fd, p->hash, &p->written, &p->stop);
	if (r < 0) {
		errno = -r;
		fail(p, "read");
	}
}

static void run_write(void *arg)
{
	struct block *b = arg;
	struct partial *p = b->partial;
	uint64_t before = p->written;
	size_t at = 0;

	while (at < b->len && !p->failed) {
		ssize_t n = pwrite(p->fd, b->data + at, b->len - at, (off_t)p->written);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			fail(p, "write");
			return;
		}
		digest_update(p->hash, b->data + at, (size_t)n);
		p->written += (uint64_t)n;
		at += (size_t)n;
	}
	if (before / WRITE_BACK != p->written / WRITE_BACK)
		sync_file_range(p->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

static void run_restart(void *arg)
{
	struct restart *r = arg;

	if (!r->partial->failed)
		empty_file(r->partial);
}

static void run_nothing(void *arg)
{
	(void)arg;
}

static int check_content(struct partial *p)
{
	char actual[DIGEST_SIZE];
	struct stat st;

	digest_end(p->hash, actual);
	p->hash = NULL;
	if (strcmp(actual, p->digest) == 0) {
		if (fstat(p->fd, &st) == 0 && (uint64_t)st.st_size == p->size)
			return 0;
		err_set(&p->err, -EBADMSG, "size mismatch");
	} else {
		err_set(&p->err, -EBADMSG, "digest mismatch");
	}
	p->failed = true;
	return -EBADMSG;
}

static void run_publish(void *arg)
{
	struct partial *p = arg;

	if (p->failed)
		return;
	if (check_content(p) < 0) {
		struct err why = p->err;

		p->failed = false;
		empty_file(p);
		if (!p->failed)
			p->err = why;
		p->failed = true;
		return;
	}
	if (fsync(p->fd) < 0)
		fail(p, "write");
	else if (rename(p->path, p->final) < 0)
		fail(p, "rename");
	else
		p->published = true;
	if (p->published)
		store_blob_note(p->store, p->digest, p->fd);
}

static void run_close(void *arg)
{
	struct partial *p = arg;

	/* While it is locked: nobody else's is removed. */
	if (p->fd >= 0 && !p->written && !p->published)
		unlink(p->path);
	if (p->fd >= 0)
		close(p->fd);
	digest_abort(p->hash);
}

/* ---- on the event loop ---- */

static void post(struct partial *p, void (*run)(void *arg), void (*done)(void *arg))
{
	p->job = (struct disk_job){ .run = run, .done = done, .arg = p };
	disk_post(p->disk, &p->strand, &p->job);
}

static void on_done(void *arg)
{
	struct partial *p = arg;
	struct err err = p->err;
	bool failed = p->failed;

	p->failed = false;
	p->len = p->written;
	if (p->handler)
		p->handler->done(p->owner, failed ? &err : NULL);
}

static void on_written(void *arg)
{
	struct block *b = arg;
	struct partial *p = b->partial;

	free(b);
	p->n_blocks--;
	if (p->blocked && p->handler) {
		p->blocked = false;
		p->handler->drained(p->owner);
	}
}

int partial_create(struct disk *d, struct store *s, const char *digest, uint64_t size,
		   const struct partial_handler *handler, void *owner, struct partial **ret,
		   struct err *err)
{
	struct partial *p = calloc(1, sizeof(*p));

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	p->disk = d;
	p->store = s;
	p->handler = handler;
	p->owner = owner;
	p->size = size;
	p->fd = -1;
	strand_init(&p->strand);
	snprintf(p->digest, sizeof(p->digest), "%s", digest);
	store_blob_path(s, digest, p->final, sizeof(p->final) - sizeof(".tmp"));
	snprintf(p->path, sizeof(p->path), "%.4080s.tmp", p->final);
	*ret = p;
	return 0;
}

void partial_open(struct partial *p)
{
	post(p, run_open, on_done);
}

uint64_t partial_len(const struct partial *p)
{
	return p->len;
}

static void post_block(struct partial *p)
{
	struct block *b = p->filling;

	if (!b)
		return;
	p->filling = NULL;
	p->n_blocks++;
	b->job = (struct disk_job){ .run = run_write, .done = on_written, .arg = b };
	disk_post(p->disk, &p->strand, &b->job);
}

static int add(struct partial *p, const char *data, size_t len)
{
	struct block *b = p->filling;

	if (!b) {
		b = malloc(sizeof(*b));
		if (!b)
			return -ENOMEM;
		b->partial = p;
		b->len = 0;
		p->filling = b;
	}
	if (len > BLOCK - b->len)
		len = BLOCK - b->len;
	memcpy(b->data + b->len, data, len);
	b->len += len;
	if (b->len == BLOCK)
		post_block(p);
	return (int)len;
}

int partial_write(struct partial *p, const void *data, size_t len)
{
	const char *at = data;

	if (p->failed)
		return -EIO;
	if (p->n_blocks >= MAX_BLOCKS) {
		p->blocked = true;
		return -EAGAIN;
	}
	p->len += len;
	while (len) {
		int n = add(p, at, len);

		if (n < 0)
			return n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

void partial_restart(struct partial *p)
{
	struct restart *r = malloc(sizeof(*r));

	if (!r)
		return;                 /* the hash will not fit, and all starts over */
	free(p->filling);
	p->filling = NULL;
	p->len = 0;
	r->partial = p;
	r->job = (struct disk_job){ .run = run_restart, .done = free, .arg = r };
	disk_post(p->disk, &p->strand, &r->job);
}

void partial_sync(struct partial *p)
{
	post_block(p);
	post(p, run_nothing, on_done);
}

void partial_publish(struct partial *p)
{
	post_block(p);
	post(p, run_publish, on_done);
}

void partial_close(struct partial *p)
{
	if (!p)
		return;
	p->handler = NULL;
	p->stop = true;
	post_block(p);
	p->close = (struct disk_job){ .run = run_close, .done = free, .arg = p };
	disk_post(p->disk, &p->strand, &p->close);
}
