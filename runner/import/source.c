/*
 * The folder a model is made from: listing, opening and reading that cannot be led
 * outside by links or odd names. Owns nothing but the resolved path. Runs on the
 * importer's one thread and blocks on the disk. A folder that was sent as blobs is
 * uploaded.c's.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "runner/import/source.h"
#include "runner/import/uploaded.h"

struct source {
	char *root;                     /* resolved, no trailing slash unless "/"; of blobs: a word for it */
	const struct store *store;      /* NULL: a folder */
	const json_t *files;
};

int source_open(const char *directory, struct source **ret, struct err *err)
{
	struct source *s;
	struct stat st;

	if (directory[0] != '/')
		return err_set(err, -EINVAL, "model folder '%s' is not an absolute path", directory);
	s = calloc(1, sizeof *s);
	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	s->root = realpath(directory, NULL);
	if (!s->root || stat(s->root, &st) < 0) {
		err_set(err, -EINVAL, "model folder %s: %s", directory, strerror(errno));
		source_close(s);
		return -EINVAL;
	}
	if (!S_ISDIR(st.st_mode)) {
		source_close(s);
		return err_set(err, -EINVAL, "%s is not a folder", directory);
	}
	*ret = s;
	return 0;
}

int source_of_blobs(struct store *store, const json_t *files, struct source **ret, struct err *err)
{
	struct source *s;
	int r = uploaded_check(store, files, err);

	if (r < 0)
		return r;
	s = calloc(1, sizeof *s);
	if (s)
		*s = (struct source){ .root = strdup("files"), .store = store, .files = files };
	if (!s || !s->root) {
		free(s);
		return err_set(err, -ENOMEM, "out of memory");
	}
	*ret = s;
	return 0;
}

void source_close(struct source *s)
{
	if (!s)
		return;
	free(s->root);
	free(s);
}

const char *source_path(const struct source *s)
{
	return s->root;
}

/* "<root>/<name>"; false when it does not fit. */
static bool join(const struct source *s, const char *name, char ret[PATH_MAX])
{
	return snprintf(ret, PATH_MAX, "%s/%s", s->root, name) < PATH_MAX;
}

bool source_has_folder(const struct source *s, const char *folder)
{
	char path[PATH_MAX];
	struct stat st;

	if (s->store)
		return uploaded_has_folder(s->files, folder);
	return join(s, folder, path) && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

int source_list(const struct source *s, const char *folder, char ***ret, struct err *err)
{
	char path[PATH_MAX];
	struct dirent **entries;
	char **names;
	int n, r = 0;

	if (s->store)
		return uploaded_list(s->files, folder, ret, err);
	if (!join(s, folder, path))
		return err_set(err, -ENAMETOOLONG, "the path of %s is too long", folder);
	n = scandir(path, &entries, visible, by_bytes);
	if (n < 0)
		return err_errno(err, errno, "cannot list %s", path);
	names = calloc((size_t)n + 1, sizeof *names);
	for (int i = 0; i < n; i++) {
		if (names && !(names[i] = strdup(entries[i]->d_name)))
			r = -ENOMEM;
		free(entries[i]);
	}
	free(entries);
	if (!names || r < 0) {
		names_free(names);
		return err_set(err, -ENOMEM, "cannot list %s: out of memory", path);
	}
	*ret = names;
	return 0;
}

void names_free(char **names)
{
	for (size_t i = 0; names && names[i]; i++)
		free(names[i]);
	free(names);
}

static bool lies_below(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	return strncmp(path, folder, len) == 0 && path[len] == '/';
}

/* "<hex of a digest>", as download caches name their blobs. */
static bool is_blob_name(const char *name)
{
	size_t len = strspn(name, "0123456789abcdef");

	return name[len] == '\0' && (len == 40 || len == 64);
}

/*
 * Caches keep <model>/snapshots/<revision>/ full of links into <model>/blobs/; the
 * folder given may be the revision or hold the blobs right beside it.
 */
static bool is_cache_blob(const struct source *s, const char *path)
{
	char parent[PATH_MAX], blobs[PATH_MAX + 8];
	const char *slash = strrchr(path, '/');

	if (!slash || !is_blob_name(slash + 1))
		return false;
	snprintf(parent, sizeof parent, "%s", s->root);
	for (int up = 0; up < 2; up++) {
		char *last = strrchr(parent, '/');

		if (!last || last == parent)
			return false;
		*last = '\0';
		snprintf(blobs, sizeof blobs, "%s/blobs", parent);
		if (strlen(blobs) == (size_t)(slash - path) && lies_below(path, blobs))
			return true;
	}
	return false;
}

static int open_regular(const char *path, const char *name, struct err *err)
{
	struct stat st = { 0 };
	/* Not waiting: a pipe would hang the open. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return err_errno(err, errno, "failed to open %s", name);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return err_set(err, S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL,
		       "failed to open %s: not a regular file", name);
}

int source_file(const struct source *s, const char *name, struct err *err)
{
	char path[PATH_MAX];
	char *resolved;
	int fd;

	if (s->store)
		return uploaded_file(s->store, s->files, name, err);
	if (!join(s, name, path))
		return err_set(err, -ENAMETOOLONG, "failed to open %s: the path is too long", name);
	resolved = realpath(path, NULL);
	if (!resolved)
		return err_errno(err, errno, "failed to open %s", name);
	if (lies_below(resolved, s->root) || is_cache_blob(s, resolved))
		fd = open_regular(resolved, name, err);
	else
		fd = err_set(err, -EINVAL, "failed to open %s: it leads outside the model folder (to %s)",
			     name, resolved);
	free(resolved);
	return fd;
}

int source_read(const struct source *s, const char *name, size_t max,
		char **ret, size_t *ret_len, struct err *err)
{
	int fd = source_file(s, name, err);
	int r;

	if (fd < 0)
		return fd;
	r = file_load_fd(fd, name, max, ret, ret_len, err);
	close(fd);
	return r == -EBADMSG ? -EINVAL : r;     /* too large: not ours but the folder's fault */
}
