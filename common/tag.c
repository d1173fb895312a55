/*
 * Tags on disk: the legacy tree of manifest files and the v2 tree of links into the
 * blobs. Owns nothing; blocks on the disk.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/store_internal.h"

#define HOST_V2 "ollama.com"
enum { NAME_PARTS = 4, TRIES = 5 };

bool tag_host_is_public(const char *host)
{
	return !strcasecmp(host, NAME_DEFAULT_HOST) || !strcasecmp(host, HOST_V2);
}

void tag_path(const struct store *s, const struct model_name *name, enum tag_tree tree, char ret[STORE_PATH])
{
	static const char *const public_host[] = { HOST_V2, NAME_DEFAULT_HOST, HOST_V2 };
	const char *host = tag_host_is_public(name->host) ? public_host[tree] : name->host;

	snprintf(ret, STORE_PATH, "%s/manifests%s/%s/%s/%s/%s", s->root, tree == TAG_V2 ? "-v2" : "", host,
		 name->namespace, name->model, name->tag);
}

static int64_t mtime_ns(const struct stat *st)
{
	return st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec;
}

/* The digest that a link's target is named by. */
static int link_digest(const char *path, char ret[DIGEST_SIZE], struct err *err)
{
	char target[STORE_PATH];
	ssize_t len = readlink(path, target, sizeof target - 1);
	const char *base;

	if (len < 0)
		return err_errno(err, errno, "failed to read link %s", path);
	target[len] = '\0';
	base = strrchr(target, '/');
	if (digest_parse(base ? base + 1 : target, ret, NULL) < 0)
		return err_set(err, -EBADMSG, "manifest symlink target \"%s\" is not a sha256 blob", target);
	return 0;
}

static bool is_blob(const struct store *s, const char *digest, const struct stat *st)
{
	char path[STORE_PATH];
	struct stat own;

	store_blob_path(s, digest, path, sizeof path);
	return lstat(path, &own) == 0 && own.st_ino == st->st_ino && own.st_dev == st->st_dev;
}

/* A link counts only when it ends at a blob of this store, and that is whole. Followed once, as it may be replaced. */
static int read_linked(const struct store *s, const char *path, int fd, const char *digest, char **ret,
		       size_t *ret_len, struct err *err)
{
	char actual[DIGEST_SIZE];
	struct stat st;
	int r = file_load_fd(fd, path, LIMIT_MANIFEST, ret, ret_len, err);

	if (r < 0)
		return r;
	digest_bytes(*ret, *ret_len, actual);
	if (fstat(fd, &st) == 0 && is_blob(s, actual, &st))
		return 0;
	free(*ret);
	*ret = NULL;
	if (is_blob(s, digest, &st))
		return err_set(err, -EBADMSG, "digest mismatch: the manifest of %s is damaged", path);
	return err_set(err, -EBADMSG, "%s does not match blob %s", path, digest);
}

static int try_link(const struct store *s, const char *path, char **ret, size_t *ret_len, struct err *err)
{
	char digest[DIGEST_SIZE];
	int fd, r = link_digest(path, digest, err);

	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return err_set(err, -EBADMSG, "%s: its blob %s is missing", path, digest);
	if (fd < 0)
		return err_errno(err, errno, "open %s", path);
	r = read_linked(s, path, fd, digest, ret, ret_len, err);
	close(fd);
	return r;
}

/* What is wrong may only be that the tag was written and its old blob freed meanwhile. */
static int read_link(const struct store *s, const char *path, char **ret, size_t *ret_len, struct err *err)
{
	int r = 0;

	for (int i = 0; i < TRIES; i++) {
		r = try_link(s, path, ret, ret_len, err);
		if (r != -EBADMSG)
			break;
	}
	return r;
}

struct found {
	char *bytes;
	size_t len;
	int64_t mtime;
};

static bool absent(int errno_value)
{
	return errno_value == ENOENT || errno_value == ENOTDIR;
}

/* One tree's version of a tag; -ENOENT when it has none. */
static int read_tree(const struct store *s, const struct model_name *name, enum tag_tree tree,
		     struct found *ret, struct err *err)
{
	char path[STORE_PATH];
	struct stat st;
	int r;

	tag_path(s, name, tree, path);
	if (lstat(path, &st) < 0)
		return absent(errno) ? -ENOENT : err_errno(err, errno, "failed to read %s", path);
	ret->mtime = mtime_ns(&st);
	if (S_ISLNK(st.st_mode))
		r = read_link(s, path, &ret->bytes, &ret->len, err);
	else
		r = file_load(path, LIMIT_MANIFEST, &ret->bytes, &ret->len, err);
	return r == -ENOENT ? err_set(err, -EBADMSG, "%s went away while it was read", path) : r;
}

/* Whether found is to be used rather than best: the first, or a later and different one. */
static bool better(const struct found *found, const struct found *best)
{
	if (!best->bytes)
		return true;
	return found->mtime > best->mtime &&
	       (found->len != best->len || memcmp(found->bytes, best->bytes, found->len) != 0);
}

int tag_read(const struct store *s, const struct model_name *name, char **ret, size_t *ret_len,
	     int64_t *ret_mtime_ns, struct err *err)
{
	int trees = tag_host_is_public(name->host) ? TAG_TREES : TAG_LEGACY + 1, damaged = 0;
	struct found best = { 0 };
	struct err ignored;

	for (int tree = TAG_V2; tree < trees; tree++) {
		struct found found = { 0 };
		int r = read_tree(s, name, (enum tag_tree)tree, &found, damaged ? &ignored : err);

		if (r < 0 && r != -ENOENT)
			damaged = r;
		if (r < 0)
			continue;
		if (better(&found, &best)) {
			free(best.bytes);
			best = found;
		} else {
			free(found.bytes);
		}
	}
	if (!best.bytes)
		return damaged ? damaged : -ENOENT;
	*ret = best.bytes;
	*ret_len = best.len;
	*ret_mtime_ns = best.mtime;
	return 0;
}

bool tag_exists(const struct store *s, const struct model_name *name)
{
	char path[STORE_PATH];
	struct stat st;

	for (int tree = TAG_V2; tree < TAG_TREES; tree++) {
		tag_path(s, name, (enum tag_tree)tree, path);
		if (lstat(path, &st) == 0 && !S_ISDIR(st.st_mode))
			return true;
	}
	return false;
}

struct names {
	struct model_name *list;
	size_t n, size;
	const char *root;               /* of the tree being walked */
	int failed;
};

static void add_name(struct names *names, const struct model_name *name)
{
	struct model_name *list;

	if (names->n == names->size) {
		names->size = names->size ? 2 * names->size : 16;
		list = realloc(names->list, names->size * sizeof *list);
		if (!list) {
			names->failed = -ENOMEM;
			return;
		}
		names->list = list;
	}
	names->list[names->n++] = *name;
}

/* Fills the part of that depth; false when it does not fit one. */
static bool set_part(struct model_name *name, unsigned depth, const char *text)
{
	char *const part[NAME_PARTS] = { name->host, name->namespace, name->model, name->tag };
	const size_t size[NAME_PARTS] = { sizeof name->host, sizeof name->namespace, sizeof name->model,
					  sizeof name->tag };

	return (size_t)snprintf(part[depth], size[depth], "%s", text) < size[depth];
}

/* How a name is called that the disk has below one of its two public hosts. */
static bool to_known(struct model_name *name)
{
	if (tag_host_is_public(name->host))
		snprintf(name->host, sizeof name->host, "%s", NAME_DEFAULT_HOST);
	return name_valid(name);
}

bool store_tag_name(const char *folder, const char *tag, struct model_name *ret)
{
	const char *at = strchr(folder, '/');
	char part[NAME_TEXT_SIZE];
	unsigned depth = 0;

	for (; at && depth < NAME_PARTS - 1; depth++) {
		const size_t len = strcspn(++at, "/");

		if (len >= sizeof part)
			return false;
		memcpy(part, at, len);
		part[len] = '\0';
		if (!set_part(ret, depth, part))
			return false;
		at = strchr(at, '/');
	}
	return !at && depth == NAME_PARTS - 1 && set_part(ret, depth, tag) && to_known(ret);
}

static void found_tag(struct names *names, struct model_name name)
{
	if (to_known(&name))
		add_name(names, &name);
	else
		log_debug("bad manifest name %s/%s/%s/%s", name.host, name.namespace, name.model, name.tag);
}

static void walk(struct names *names, const char *path, unsigned depth, struct model_name *name)
{
	char below[STORE_PATH];
	struct dirent *entry;
	DIR *dir = opendir(path);

	if (!dir) {
		if (errno != ENOENT && errno != ENOTDIR)
			names->failed = -errno;
		return;
	}
	/* A list that ends early would have blobs freed that are in use. */
	while ((errno = 0, entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || !set_part(name, depth, entry->d_name))
			continue;
		if (depth + 1 == NAME_PARTS && entry->d_type == DT_DIR)
			continue;
		/* Longer than any path: nothing that a name could lead to. */
		if ((size_t)snprintf(below, sizeof below, "%s/%s", path, entry->d_name) >= sizeof below)
			continue;
		if (depth + 1 < NAME_PARTS)
			walk(names, below, depth + 1, name);
		else
			found_tag(names, *name);
	}
	if (errno)
		names->failed = -errno;
	closedir(dir);
}

int tag_names(const struct store *s, struct model_name **ret, size_t *ret_n, struct err *err)
{
	static const char *const trees[] = { "manifests-v2", "manifests" };
	struct names names = { 0 };
	struct model_name name;
	char path[STORE_PATH];
	size_t kept = 0;

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "%s/%s", s->root, trees[i]);
		walk(&names, path, 0, &name);
	}
	if (names.failed) {
		free(names.list);
		return err_errno(err, -names.failed, "failed to list the models in %s", s->root);
	}
	if (names.n)
		qsort(names.list, names.n, sizeof *names.list, name_order);
	for (size_t i = 0; i < names.n; i++)
		if (!kept || name_order(&names.list[kept - 1], &names.list[i]))
			names.list[kept++] = names.list[i];
	*ret = names.list;
	*ret_n = kept;
	return 0;
}

void tag_prune_parents(const struct store *s, const char *path)
{
	char folder[STORE_PATH];
	size_t root = strlen(s->root);
	char *slash;

	snprintf(folder, sizeof folder, "%s", path);
	/* Not the tree's own folder: root/manifests is the last slash behind the root. */
	while ((slash = strrchr(folder, '/')) && strchr(folder + root + 1, '/') != slash) {
		*slash = '\0';
		if (rmdir(folder) < 0 && errno != ENOENT)
			return;
	}
}
