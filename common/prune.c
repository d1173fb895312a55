/*
 * Freeing blobs that no tag uses. Nothing is freed while any tag cannot be read, since
 * what it uses is unknown. Owns nothing; blocks on the disk.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/store_internal.h"
#include "common/text.h"
#include "common/timefmt.h"

#define PENDING_FOLDER ".easel-pulls"    /* manifests of pulls that are not done */

enum { HOUR_SECONDS = 3600, PARTIAL_SECONDS = 7 * 24 * HOUR_SECONDS };

/* Digests in use, sorted. */
struct used {
	char (*digests)[DIGEST_SIZE];
	size_t n, size;
};

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool is_used(const struct used *u, const char *digest)
{
	return u->n && bsearch(digest, u->digests, u->n, DIGEST_SIZE, compare);
}

static int use(struct used *u, const char *digest)
{
	void *more;

	if (!digest[0])
		return 0;
	if (u->n == u->size) {
		u->size = u->size ? 2 * u->size : 1024;
		more = realloc(u->digests, u->size * DIGEST_SIZE);
		if (!more)
			return -ENOMEM;
		u->digests = more;
	}
	memcpy(u->digests[u->n++], digest, DIGEST_SIZE);
	return 0;
}

static int use_manifest(struct used *u, const struct manifest *m)
{
	int r = use(u, m->digest);

	if (r == 0)
		r = use(u, m->config.digest);
	for (size_t i = 0; i < m->n_layers && r == 0; i++)
		r = use(u, m->layers[i].digest);
	return r;
}

static void pending_path(const struct store *s, const char *file, char ret[STORE_PATH])
{
	snprintf(ret, STORE_PATH, "%s/" PENDING_FOLDER "/%s", s->root, file);
}

int store_pending_add(struct store *s, const char *digest, const void *bytes, size_t len, struct err *err)
{
	char path[STORE_PATH];
	int r;

	pending_path(s, digest + strlen("sha256:"), path);
	r = dir_make_parent(path, err);
	return r < 0 ? r : file_replace(path, bytes, len, err);
}

void store_pending_remove(struct store *s, const char *digest)
{
	char path[STORE_PATH];

	pending_path(s, digest + strlen("sha256:"), path);
	if (unlink(path) < 0 && errno != ENOENT)
		log_debug("cannot remove %s", path);
}

/* One that is old, or not whole, keeps nothing. What cannot be read for now does: < 0. */
static int use_pending(struct used *u, const char *path)
{
	struct manifest *m;
	struct stat st;
	char *bytes;
	size_t len;
	int r;

	if (lstat(path, &st) < 0 || time_now_ns() / 1000000000 - st.st_mtime >= PARTIAL_SECONDS) {
		unlink(path);
		return 0;
	}
	r = file_load(path, LIMIT_MANIFEST, &bytes, &len, NULL);
	if (r < 0)
		return r == -EBADMSG || r == -ENOENT ? 0 : r;
	r = manifest_parse(bytes, len, &m, NULL);
	free(bytes);
	if (r < 0)
		return 0;
	r = use_manifest(u, m);
	manifest_free(m);
	return r;
}

static int collect_pending(const struct store *s, struct used *u)
{
	char path[STORE_PATH];
	struct dirent *entry;
	int r = 0;
	DIR *dir;

	pending_path(s, "", path);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (errno = 0, entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		pending_path(s, entry->d_name, path);
		r = use_pending(u, path);
	}
	if (r == 0)
		r = -errno;
	closedir(dir);
	return r;
}

/* Which file somebody has to look at, if the error does not say so. */
static void name_file(const struct store *s, const struct model_name *name, struct err *err)
{
	char path[STORE_PATH];
	struct stat st;

	for (int tree = TAG_V2; err && !strstr(err->text, s->root) && tree < TAG_TREES; tree++) {
		tag_path(s, name, (enum tag_tree)tree, path);
		if (lstat(path, &st) == 0)
			err_prefix(err, "%s", path);
	}
}

static int collect(struct store *s, struct used *u, struct err *err)
{
	struct model_name *names = NULL;
	struct manifest *m;
	size_t n;
	int r = tag_names(s, &names, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		r = store_read(s, &names[i], &m, err);
		if (r < 0) {
			name_file(s, &names[i], err);
			break;
		}
		r = use_manifest(u, m);
		if (r < 0)
			err_set(err, r, "out of memory");
		manifest_free(m);
	}
	if (r == 0) {
		r = collect_pending(s, u);
		if (r < 0)
			err_errno(err, -r, "failed to read the manifests of pulls in %s", s->root);
	}
	if (r == 0 && u->n)
		qsort(u->digests, u->n, DIGEST_SIZE, compare);
	free(names);
	return r;
}

static void release(const struct store *s, const struct used *u, const char *digest)
{
	char path[STORE_PATH];

	if (!digest[0] || is_used(u, digest))
		return;
	store_blob_path(s, digest, path, sizeof path);
	if (unlink(path) < 0 && errno != ENOENT)
		log_debug("cannot remove %s", path);
}

/* Runs free_blobs with the digests in use, while nobody writes blobs or tags. */
static int with_used(struct store *s, const void *arg, struct err *err,
		     void (*free_blobs)(const struct store *, const struct used *, const void *))
{
	struct used u = { 0 };
	int r;

	if (!store_lock_alone(s)) {
		log_debug("blobs are kept: another process writes some");
		return 0;
	}
	r = collect(s, &u, err);
	if (r == 0)
		free_blobs(s, &u, arg);
	store_unlock(s);
	free(u.digests);
	return r;
}

static void release_manifest(const struct store *s, const struct used *u, const void *arg)
{
	const struct manifest *old = arg;

	release(s, u, old->digest);
	release(s, u, old->config.digest);
	for (size_t i = 0; i < old->n_layers; i++)
		release(s, u, old->layers[i].digest);
}

int store_release(struct store *s, const struct manifest *old, struct err *err)
{
	return with_used(s, old, err, release_manifest);
}

/* Seconds a file may lie unused: what an interrupted pull can go on from is kept longer. */
static int64_t patience(const char *file)
{
	return strstr(file, "-partial") || text_ends_with(file, ".tmp") ? PARTIAL_SECONDS : HOUR_SECONDS;
}

/* "sha256-<hex>" and a suffix. */
static bool is_partial_of(const char *file, char ret[DIGEST_SIZE])
{
	char name[DIGEST_SIZE];

	if (strlen(file) <= DIGEST_SIZE - 1 || patience(file) != PARTIAL_SECONDS)
		return false;
	memcpy(name, file, DIGEST_SIZE - 1);
	name[DIGEST_SIZE - 1] = '\0';
	return digest_parse(name, ret, NULL) == 0;
}

/* Who writes one holds its lock. */
static void free_partial(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && time_now_ns() / 1000000000 - st.st_mtime >= HOUR_SECONDS &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0 && unlink(path) == 0)
		log_info("%s of an interrupted pull was removed, its space is needed", path);
	close(fd);
}

void store_free_partials(const struct store *s, bool (*wanted)(const void *context, const char *digest),
			 const void *context)
{
	char path[STORE_PATH], digest[DIGEST_SIZE];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof path, "%s/blobs", s->root);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (!is_partial_of(entry->d_name, digest) || (wanted && wanted(context, digest)))
			continue;
		snprintf(path, sizeof path, "%s/blobs/%s", s->root, entry->d_name);
		free_partial(path);
	}
	if (dir)
		closedir(dir);
}

static void sweep_blobs(const struct store *s, const struct used *u)
{
	int64_t now = time_now_ns() / 1000000000;
	char path[STORE_PATH], digest[DIGEST_SIZE];
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	snprintf(path, sizeof path, "%s/blobs", s->root);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof path, "%s/blobs/%s", s->root, entry->d_name);
		if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode) || now - st.st_mtime < patience(entry->d_name))
			continue;
		if (digest_parse(entry->d_name, digest, NULL) == 0 && is_used(u, digest))
			continue;
		if (unlink(path) < 0)
			log_debug("cannot remove %s", path);
	}
	if (dir)
		closedir(dir);
}

/* What a crash left of a tag being written. */
static void sweep_temporary(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0 && time_now_ns() / 1000000000 - st.st_mtime >= HOUR_SECONDS)
		unlink(path);
}

/* Removes folders that are empty, deepest first; the top one stays. */
static void sweep_folders(const char *path, bool top)
{
	char below[STORE_PATH];
	struct dirent *entry;
	DIR *dir = opendir(path);

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
		if (!strncmp(entry->d_name, FILE_TEMP_PREFIX, strlen(FILE_TEMP_PREFIX)))
			sweep_temporary(below);
		else if (entry->d_name[0] != '.' && entry->d_type == DT_DIR)
			sweep_folders(below, false);
	}
	closedir(dir);
	if (!top)
		rmdir(path);            /* fails, rightly, unless empty */
}

static void sweep(const struct store *s, const struct used *u, const void *unused)
{
	static const char *const trees[] = { "manifests", "manifests-v2" };
	char path[STORE_PATH];

	(void)unused;
	sweep_blobs(s, u);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "%s/%s", s->root, trees[i]);
		sweep_folders(path, true);
	}
	verified_tidy(s->verified);
}

int store_prune(struct store *s, struct err *err)
{
	if (with_used(s, NULL, err, sweep) < 0)
		return err_prefix(err, "corrupt manifests detected, skipping prune operation.  "
				  "Re-pull or delete to clear");
	return 0;
}
