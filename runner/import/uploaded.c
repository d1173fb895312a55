/*
 * The files of a model as a client elsewhere sent them: names and blobs of the store that
 * make up a folder. Owns nothing. Runs on the importer's one thread and blocks on the disk.
 */
#include "runner/import/uploaded.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buf.h"

enum { NAMED = 2 };                     /* of the missing ones, in an error */

/* What path is called below folder: a name, or more of a path; NULL when it lies elsewhere. */
static const char *below(const char *path, const char *folder)
{
	const size_t len = strlen(folder);

	if (!len)
		return path;
	return strncmp(path, folder, len) == 0 && path[len] == '/' ? path + len + 1 : NULL;
}

bool uploaded_has_folder(const json_t *files, const char *folder)
{
	const char *path;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)files, path, value)
		if (below(path, folder))
			return true;
	return false;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int uploaded_list(const json_t *files, const char *folder, char ***ret, struct err *err)
{
	char **names = calloc(json_object_size(files) + 1, sizeof *names);
	const char *path;
	json_t *value;
	size_t n = 0;

	if (!names)
		return err_set(err, -ENOMEM, "cannot list %s: out of memory", folder);
	json_object_foreach((json_t *)(uintptr_t)files, path, value) {
		const char *name = below(path, folder);

		if (!name || name[0] == '.' || strchr(name, '/'))
			continue;
		names[n] = strdup(name);
		if (!names[n++]) {
			while (n)
				free(names[--n]);
			free(names);
			return err_set(err, -ENOMEM, "cannot list %s: out of memory", folder);
		}
	}
	if (n)
		qsort(names, n, sizeof *names, by_bytes);
	*ret = names;
	return 0;
}

int uploaded_file(const struct store *s, const json_t *files, const char *name, struct err *err)
{
	const char *text = json_string_value(json_object_get(files, name));
	char digest[DIGEST_SIZE];
	int fd, r;

	if (!text)
		return err_set(err, -ENOENT, "failed to open %s: not among the files", name);
	r = digest_parse(text, digest, err);
	if (r < 0)
		return r;
	fd = store_blob_open(s, digest, err);
	if (fd >= 0)
		return fd;
	err_prefix(err, "failed to open %s", name);
	return fd == -ENOENT ? -EINVAL : fd;    /* it was there, and absent files are another matter */
}

/* A HEAD or POST of the same content makes a blob younger. */
static bool is_claimed(const struct store *s, const char *digest, int64_t since_ns, uint64_t *ret_size)
{
	char path[PATH_MAX];
	struct stat st;

	store_blob_path(s, digest, path, sizeof path);
	if (lstat(path, &st) < 0)
		return true;
	*ret_size = (uint64_t)st.st_size;
	return st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec > since_ns;
}

int uploaded_release(struct store *s, const json_t *files, int64_t since_ns, struct err *err)
{
	struct manifest *sent = manifest_create();
	char digest[DIGEST_SIZE];
	const char *path;
	json_t *value;
	uint64_t size;
	int r = sent ? 0 : err_set(err, -ENOMEM, "out of memory");

	json_object_foreach((json_t *)(uintptr_t)files, path, value) {
		if (r < 0 || digest_parse(json_string_value(value), digest, NULL) < 0 ||
		    is_claimed(s, digest, since_ns, &size))
			continue;
		if (!manifest_add(sent, MEDIA_JSON, digest, size, path))
			r = err_set(err, -ENOMEM, "out of memory");
	}
	if (r == 0)
		r = store_release(s, sent, err);
	manifest_free(sent);
	return r;
}

/* ---- the check ---- */

/* What is not known to be whole is hashed: a damaged file must not become a model. */
static int check_file(struct store *s, const char *path, json_t *value, const char *digest, json_t *damaged)
{
	uint64_t size;
	int r = store_blob_stat(s, digest, &size, NULL);

	if (r == 0 && !store_blob_known(s, digest, size))
		r = store_blob_check(s, digest, NULL, NULL, NULL);
	if (r == -EBADMSG)
		json_object_set(damaged, path, value);
	return r;
}

static int check_files(struct store *s, const json_t *files, json_t *damaged, struct err *err)
{
	struct buf list = BUF_INIT(4096);
	char digest[DIGEST_SIZE];
	const char *path;
	json_t *value;
	size_t n = 0;
	int r = 0;

	json_object_foreach((json_t *)(uintptr_t)files, path, value) {
		r = digest_parse(json_is_string(value) ? json_string_value(value) : "", digest, err);
		if (r < 0)
			break;
		if (check_file(s, path, value, digest, damaged) == 0)
			continue;
		if (n++ < NAMED)
			buf_printf(&list, "%s%.80s (%s)", n > 1 ? ", " : "", path, digest);
	}
	if (r == 0 && n)
		r = err_set(err, -EINVAL, "%zu of the %zu files must be sent to /api/blobs first: %s%s", n,
			    json_object_size(files), buf_failed(&list) ? "" : list.data, n > NAMED ? ", ..." : "");
	buf_finish(&list);
	return r;
}

int uploaded_check(struct store *s, const json_t *files, struct err *err)
{
	json_t *damaged = json_object();
	int r = damaged ? check_files(s, files, damaged, err) : err_set(err, -ENOMEM, "out of memory");

	/* As long as one is there, who asks for it hears that it need not be sent. */
	if (json_object_size(damaged))
		uploaded_release(s, damaged, INT64_MAX, NULL);
	json_decref(damaged);
	return r;
}
