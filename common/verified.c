/*
 * The record of verified blobs: a file of lines and what was read of it, in a hash table
 * by digest. Owns the table, under a mutex; any thread, blocks on the disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/verified.h"

#define RECORD_FILE ".easel-verified"
enum { HEX = 64, LINE_MAX_LEN = HEX + 4 * 21 + 2, PIECE = 64 << 10 };

/* One blob as it was when it was whole; inode 0: a free place. */
struct mark {
	char hex[HEX];
	uint64_t inode, size;
	int64_t modified_ns, changed_ns;
};

struct verified {
	pthread_mutex_t lock;
	char *root, *path;
	struct mark *marks;             /* n of n_places, a power of two, at most half of them taken */
	size_t n, n_places, n_lines;    /* lines: read of the file, good or not */
	uint64_t inode, size, at;       /* of the file, and how far it is read */
};

int verified_open(const char *root, struct verified **ret, struct err *err)
{
	struct verified *v = calloc(1, sizeof *v);

	if (!v)
		return err_set(err, -ENOMEM, "out of memory");
	pthread_mutex_init(&v->lock, NULL);
	v->root = strdup(root);
	if (asprintf(&v->path, "%s/" RECORD_FILE, root) < 0)
		v->path = NULL;
	if (!v->root || !v->path) {
		verified_close(v);
		return err_set(err, -ENOMEM, "out of memory");
	}
	*ret = v;
	return 0;
}

void verified_close(struct verified *v)
{
	if (!v)
		return;
	pthread_mutex_destroy(&v->lock);
	free(v->marks);
	free(v->root);
	free(v->path);
	free(v);
}

/* ---- the table ---- */

static int64_t ns_of(const struct timespec *t)
{
	return t->tv_sec * INT64_C(1000000000) + t->tv_nsec;
}

static struct mark mark_of(const char *digest, const struct stat *st)
{
	struct mark m = {
		.inode = st->st_ino, .size = (uint64_t)st->st_size,
		.modified_ns = ns_of(&st->st_mtim), .changed_ns = ns_of(&st->st_ctim),
	};

	memcpy(m.hex, digest + strlen("sha256:"), HEX);
	return m;
}

/* The place of a digest, taken or free. Its digits are as good as random. */
static struct mark *place_of(struct mark *marks, size_t n_places, const char *hex)
{
	size_t i = 0;

	for (unsigned k = 0; k < 16; k++)
		i = i << 4 ^ ((unsigned)hex[k] & 15) ^ ((unsigned)hex[k] >> 6);
	while (marks[i &= n_places - 1].inode && memcmp(marks[i].hex, hex, HEX))
		i++;
	return &marks[i];
}

static bool grow(struct verified *v)
{
	const size_t n_places = v->n_places ? 2 * v->n_places : 1024;
	struct mark *marks = calloc(n_places, sizeof *marks);

	if (!marks)
		return false;
	for (size_t i = 0; i < v->n_places; i++)
		if (v->marks[i].inode)
			*place_of(marks, n_places, v->marks[i].hex) = v->marks[i];
	free(v->marks);
	v->marks = marks;
	v->n_places = n_places;
	return true;
}

/* Later lines replace earlier ones. */
static void put(struct verified *v, const struct mark *m)
{
	struct mark *place;

	if (2 * v->n >= v->n_places && !grow(v))
		return;                 /* not on record, then */
	place = place_of(v->marks, v->n_places, m->hex);
	v->n += !place->inode;
	*place = *m;
}

static void forget(struct verified *v)
{
	free(v->marks);
	v->marks = NULL;
	v->n = v->n_places = v->n_lines = 0;
	v->inode = v->size = v->at = 0;
}

/* ---- the file ---- */

static size_t print(const struct mark *m, char ret[LINE_MAX_LEN])
{
	return (size_t)snprintf(ret, LINE_MAX_LEN, "%.*s %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 "\n", HEX,
				m->hex, m->inode, m->size, m->modified_ns, m->changed_ns);
}

/* Only what print() writes is a line. */
static void read_line(struct verified *v, const char *line, size_t len)
{
	char copy[LINE_MAX_LEN], again[LINE_MAX_LEN], hex[HEX + 1];
	struct mark m;

	v->n_lines++;
	if (len >= sizeof copy)
		return;
	memcpy(copy, line, len);
	copy[len] = '\0';
	if (sscanf(copy, "%64[0-9a-f] %" SCNu64 " %" SCNu64 " %" SCNd64 " %" SCNd64, hex, &m.inode, &m.size,
		   &m.modified_ns, &m.changed_ns) != 5 || strlen(hex) != HEX || !m.inode)
		return;
	memcpy(m.hex, hex, HEX);
	if (print(&m, again) == len + 1 && !memcmp(again, copy, len))
		put(v, &m);
}

/* Whole lines; returns how many bytes they are. */
static size_t read_lines(struct verified *v, const char *data, size_t len)
{
	size_t at = 0;
	const char *end;

	while ((end = memchr(data + at, '\n', len - at))) {
		read_line(v, data + at, (size_t)(end - data) - at);
		at = (size_t)(end - data) + 1;
	}
	return at;
}

static void read_rest(struct verified *v, int fd)
{
	char *data = malloc(PIECE);
	size_t done = 1;
	ssize_t n;

	while (data && done) {
		n = pread(fd, data, PIECE, (off_t)v->at);
		if (n < 0 && errno == EINTR)
			continue;
		done = n > 0 ? read_lines(v, data, (size_t)n) : 0;
		/* Longer than any line: whatever it is, it is passed over. */
		if (n == PIECE && !done)
			done = (size_t)n;
		v->at += done;
	}
	free(data);
}

/* Reads what was added; all of it when it is another file. */
static void refresh(struct verified *v)
{
	int fd = open(v->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > LIMIT_VERIFIED) {
		forget(v);
	} else {
		if (st.st_ino != v->inode || (uint64_t)st.st_size < v->at)
			forget(v);
		v->inode = st.st_ino;
		v->size = (uint64_t)st.st_size;
		if ((uint64_t)st.st_size > v->at)
			read_rest(v, fd);
	}
	if (fd >= 0)
		close(fd);
}

/* One write(), which other processes' do not cut. What was torn before it is ended first. */
static void append(const struct verified *v, const struct mark *m)
{
	int fd = open(v->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
	const bool torn = v->at != v->size;
	char line[1 + LINE_MAX_LEN] = "\n";
	size_t len = torn + print(m, line + torn);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size >= LIMIT_VERIFIED ||
	    write(fd, line, len) != (ssize_t)len)
		log_debug("not noted as verified in %s: %.*s", v->path, HEX, m->hex);
	if (fd >= 0)
		close(fd);
}

static bool is_on_record(struct verified *v, const char *digest, const struct stat *st)
{
	const struct mark m = mark_of(digest, st);

	refresh(v);
	return v->n_places && S_ISREG(st->st_mode) &&
	       !memcmp(place_of(v->marks, v->n_places, m.hex), &m, sizeof m);
}

bool verified_has(struct verified *v, const char *digest, const struct stat *st)
{
	bool r;

	pthread_mutex_lock(&v->lock);
	r = is_on_record(v, digest, st);
	pthread_mutex_unlock(&v->lock);
	return r;
}

static void blob_path(const struct verified *v, const char *hex, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%s/blobs/sha256-%.*s", v->root, HEX, hex);
}

/* ---- tidying ---- */

static bool still_holds(const struct verified *v, const struct mark *m)
{
	char path[PATH_MAX], digest[DIGEST_SIZE];
	struct stat st;
	struct mark now;

	blob_path(v, m->hex, path);
	if (lstat(path, &st) < 0)
		return false;
	snprintf(digest, sizeof digest, "sha256:%.*s", HEX, m->hex);
	now = mark_of(digest, &st);
	return !memcmp(&now, m, sizeof now);
}

static void rewrite(const struct verified *v, const struct buf *text)
{
	struct err err;
	int r = 0;

	if (!text->len)
		r = unlink(v->path) < 0 && errno != ENOENT ? err_errno(&err, errno, "remove %s", v->path) : 0;
	else if (!buf_failed(text))
		r = file_replace(v->path, text->data, text->len, &err);
	if (r < 0)
		log_debug("%s", err.text);
}

static void tidy(struct verified *v)
{
	struct buf text = BUF_INIT(LIMIT_VERIFIED);
	char line[LINE_MAX_LEN];
	size_t kept = 0;

	refresh(v);
	for (size_t i = 0; i < v->n_places; i++)
		if (v->marks[i].inode && still_holds(v, &v->marks[i])) {
			buf_append(&text, line, print(&v->marks[i], line));
			kept++;
		}
	if (kept != v->n_lines || v->at != v->size || !v->inode)
		rewrite(v, &text);
	buf_finish(&text);
}

void verified_tidy(struct verified *v)
{
	pthread_mutex_lock(&v->lock);
	tidy(v);
	pthread_mutex_unlock(&v->lock);
}

/* ---- adding ---- */

static void add(struct verified *v, const struct mark *m)
{
	append(v, m);
	/* Blobs that are found again and again leave a line each time. */
	if (v->n_lines > 4 * v->n + 1024)
		tidy(v);
}

void verified_note(struct verified *v, const char *digest, const struct stat *st)
{
	const struct mark m = mark_of(digest, st);

	pthread_mutex_lock(&v->lock);
	if (!is_on_record(v, digest, st))
		add(v, &m);
	pthread_mutex_unlock(&v->lock);
}

bool verified_touch(struct verified *v, const char *digest, uint64_t size, bool *ret_known)
{
	char path[PATH_MAX];
	struct stat st, now;
	struct mark m;
	bool there;

	*ret_known = false;
	blob_path(v, digest + strlen("sha256:"), path);
	pthread_mutex_lock(&v->lock);
	there = lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
	if (there)
		*ret_known = is_on_record(v, digest, &st);
	if (there)
		there = utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) == 0;
	/* Other programs may have freed or replaced it meanwhile. */
	*ret_known = *ret_known && there && lstat(path, &now) == 0 && now.st_ino == st.st_ino;
	if (*ret_known) {
		m = mark_of(digest, &now);
		add(v, &m);
	}
	pthread_mutex_unlock(&v->lock);
	return there;
}
