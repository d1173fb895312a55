/*
 * The models directory: opening it, and its tags by name. A struct store owns only its
 * path; one thread, blocks on the disk.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/log.h"
#include "common/settings.h"
#include "common/store_internal.h"

/* The rest of STORE_PATH is room for the longest name, so that no path is ever cut. */
static int too_long(struct err *err)
{
	return err_set(err, -ENAMETOOLONG, "the path of the models directory is too long");
}

int store_open(const char *root, struct store **ret, struct err *err)
{
	static const char *const folders[] = { "blobs", "manifests" };
	char path[STORE_PATH], *resolved;
	struct store *s;
	int r = 0;

	if (strlen(root) > STORE_PATH / 4)
		return too_long(err);
	for (int i = 0; i < 2 && r == 0; i++) {
		snprintf(path, sizeof path, "%s/%s", root, folders[i]);
		r = dir_make(path, err);
	}
	if (r < 0)
		return err_prefix(err, "models directory");
	resolved = realpath(root, NULL);
	if (!resolved)
		return err_errno(err, errno, "models directory %s", root);
	if (strlen(resolved) > STORE_PATH / 4) {
		free(resolved);
		return too_long(err);
	}
	s = calloc(1, sizeof *s);
	if (!s) {
		free(resolved);
		return err_set(err, -ENOMEM, "out of memory");
	}
	s->root = resolved;
	s->lock = -1;
	r = verified_open(resolved, &s->verified, err);
	if (r < 0) {
		store_close(s);
		return r;
	}
	store_lock_open(s);
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->lock >= 0)
		close(s->lock);
	verified_close(s->verified);
	free(s->root);
	free(s);
}

const char *store_root(const struct store *s)
{
	return s->root;
}

#define NAME_PARTS 4

/* How many leading parts agree by compare: 0 to 4. */
static int common_parts(const struct model_name *a, const struct model_name *b,
			int (*compare)(const char *, const char *))
{
	if (compare(a->host, b->host) != 0)
		return 0;
	if (compare(a->namespace, b->namespace) != 0)
		return 1;
	if (compare(a->model, b->model) != 0)
		return 2;
	return compare(a->tag, b->tag) ? 3 : 4;
}

static void take_spelling(struct model_name *name, const struct model_name *existing, int parts)
{
	if (parts > 0)
		memcpy(name->host, existing->host, sizeof name->host);
	if (parts > 1)
		memcpy(name->namespace, existing->namespace, sizeof name->namespace);
	if (parts > 2)
		memcpy(name->model, existing->model, sizeof name->model);
	if (parts > 3)
		memcpy(name->tag, existing->tag, sizeof name->tag);
}

/* Keeps the name with the longest common prefix, by case where several have it. */
static void keep_nearest(const struct model_name *wanted, const struct model_name *name,
			 const struct model_name **best, int *best_score)
{
	int parts = common_parts(wanted, name, strcasecmp), score = parts * (NAME_PARTS + 1);

	if (!parts || score + NAME_PARTS <= *best_score)
		return;
	score += common_parts(wanted, name, strcmp);
	if (score > *best_score) {
		*best_score = score;
		*best = name;
	}
}

static void to_default_host(struct model_name *name)
{
	if (tag_host_is_public(name->host))
		snprintf(name->host, sizeof name->host, "%s", NAME_DEFAULT_HOST);
}

void store_resolve_among(const struct model_name *name, const struct model_name *(*at)(const void *context, size_t i),
			 const void *context, size_t n, struct model_name *ret)
{
	const struct model_name *best = NULL;
	int score = 0;

	*ret = *name;
	to_default_host(ret);
	for (size_t i = 0; i < n; i++)
		keep_nearest(ret, at(context, i), &best, &score);
	if (best)
		take_spelling(ret, best, score / (NAME_PARTS + 1));
}

static const struct model_name *in_array(const void *context, size_t i)
{
	return (const struct model_name *)context + i;
}

bool store_has(struct store *s, const struct model_name *name)
{
	struct model_name wanted = *name;

	to_default_host(&wanted);
	return tag_exists(s, &wanted);
}

int store_resolve(struct store *s, const struct model_name *name, struct model_name *ret, struct err *err)
{
	struct model_name wanted = *name, *names;
	size_t n;
	int r;

	to_default_host(&wanted);
	*ret = wanted;
	if (tag_exists(s, &wanted))     /* the usual case, without a walk over all names */
		return 0;
	r = tag_names(s, &names, &n, err);
	if (r < 0)
		return r;
	store_resolve_among(&wanted, in_array, names, n, ret);
	free(names);
	return 0;
}

static int read_bytes(struct store *s, const struct model_name *name, char **ret, size_t *ret_len,
		      int64_t *ret_mtime_ns, struct err *err)
{
	char text[NAME_TEXT_SIZE];
	int r = tag_read(s, name, ret, ret_len, ret_mtime_ns, err);

	name_short(name, text);
	if (r == -ENOENT)
		return err_set(err, -ENOENT, "model '%s' not found", text);
	if (r < 0)
		err_prefix(err, "model '%s'", text);
	return r;
}

int store_read_bytes(struct store *s, const struct model_name *name, char **ret, size_t *ret_len, struct err *err)
{
	int64_t mtime;

	return read_bytes(s, name, ret, ret_len, &mtime, err);
}

int store_read(struct store *s, const struct model_name *name, struct manifest **ret, struct err *err)
{
	char text[NAME_TEXT_SIZE], *bytes;
	int64_t mtime;
	size_t len;
	int r = read_bytes(s, name, &bytes, &len, &mtime, err);

	if (r < 0)
		return r;
	r = manifest_parse(bytes, len, ret, err);
	free(bytes);
	if (r < 0) {
		name_short(name, text);
		err_prefix(err, "model '%s'", text);
		return r;
	}
	(*ret)->mtime_ns = mtime;
	return 0;
}

/* Only while nobody writes: a tag of the same folder may be on its way. */
static void prune_parents(struct store *s, const struct model_name *name)
{
	char path[STORE_PATH];

	if (!store_lock_alone(s))
		return;                 /* the next start finds them */
	for (int tree = TAG_V2; tree < TAG_TREES; tree++) {
		tag_path(s, name, (enum tag_tree)tree, path);
		tag_prune_parents(s, path);
	}
	store_unlock(s);
}

/* The manifest's blob and folders of a tag that could not be written, unless others use them. */
static void undo_write(struct store *s, const struct model_name *name, const void *bytes, size_t len)
{
	struct manifest written = { 0 };
	struct err err;

	prune_parents(s, name);
	digest_bytes(bytes, len, written.digest);
	if (store_release(s, &written, &err) < 0)
		log_debug("%s", err.text);
}

int store_write(struct store *s, const struct model_name *name, const void *bytes, size_t len, struct err *err)
{
	struct model_name spelled;
	struct manifest *m;
	int r = manifest_parse(bytes, len, &m, err);    /* nothing damaged gets a name */

	if (r < 0)
		return r;
	manifest_free(m);
	store_hold(s);
	r = store_resolve(s, name, &spelled, err);
	if (r == 0)
		r = tag_write(s, &spelled, bytes, len, err);
	store_unlock(s);
	if (r == 0)
		return 0;
	undo_write(s, &spelled, bytes, len);
	return err_prefix(err, "failed to write manifest");
}

/* Removes every form of the tag; -ENOENT when there was none. */
static int remove_tag(struct store *s, const struct model_name *name, struct err *err)
{
	int trees = tag_host_is_public(name->host) ? TAG_TREES : TAG_LEGACY + 1, removed = 0;
	char path[STORE_PATH], text[NAME_TEXT_SIZE];

	for (int tree = TAG_V2; tree < trees; tree++) {
		tag_path(s, name, (enum tag_tree)tree, path);
		if (unlink(path) == 0) {
			removed++;
			dir_sync_parent(path, NULL);
		} else if (errno != ENOENT && errno != ENOTDIR) {
			return err_errno(err, errno, "failed to remove %s", path);
		}
	}
	name_short(name, text);
	return removed ? 0 : err_set(err, -ENOENT, "model '%s' not found", text);
}

int store_delete(struct store *s, const struct model_name *name, struct err *err)
{
	struct manifest *old = NULL;
	struct err ignored;
	int r;

	/* A damaged tag is deleted too; what it used is left to the next prune. */
	if (store_read(s, name, &old, &ignored) < 0)
		old = NULL;
	r = remove_tag(s, name, err);
	if (r == 0)
		prune_parents(s, name);
	if (r == 0 && old && store_release(s, old, &ignored) < 0)
		log_warn("the blobs of a deleted model are kept: %s", ignored.text);
	manifest_free(old);
	return r;
}

int store_copy(struct store *s, const struct model_name *from, const struct model_name *to, struct err *err)
{
	char text[NAME_TEXT_SIZE], *bytes = NULL;
	int64_t mtime;
	size_t len;
	int r;

	store_hold(s);
	r = tag_read(s, from, &bytes, &len, &mtime, err);
	name_short(from, text);
	if (r == -ENOENT)
		err_set(err, r, "model \"%s\" not found", text);
	else if (r == 0 && !name_equal(from, to))
		r = store_write(s, to, bytes, len, err);
	store_unlock(s);
	free(bytes);
	return r;
}

static int newest_first(const void *a, const void *b)
{
	const struct store_entry *x = a, *y = b;
	int64_t xs = x->manifest->mtime_ns / 1000000000, ys = y->manifest->mtime_ns / 1000000000;
	char xt[NAME_TEXT_SIZE], yt[NAME_TEXT_SIZE];

	if (xs != ys)
		return xs > ys ? -1 : 1;
	name_short(&x->name, xt);
	name_short(&y->name, yt);
	return strcmp(xt, yt);
}

int store_names(struct store *s, struct model_name **ret, size_t *ret_n, struct err *err)
{
	return tag_names(s, ret, ret_n, err);
}

static void add_stamp(struct store_stamp *stamp, size_t i, const struct stat *st)
{
	int64_t changed_ns = st->st_ctim.tv_sec * INT64_C(1000000000) + st->st_ctim.tv_nsec;

	stamp->files[i].inode = st->st_ino;
	stamp->files[i].size = (uint64_t)st->st_size;
	stamp->files[i].changed_ns = changed_ns;
	if (changed_ns > stamp->newest_ns)
		stamp->newest_ns = changed_ns;
}

void store_stamp(const struct store *s, const struct model_name *name, struct store_stamp *ret)
{
	char path[STORE_PATH];
	struct stat st;

	_Static_assert(2 * TAG_TREES == sizeof(ret->files) / sizeof(ret->files[0]), "a link and its target each");
	memset(ret, 0, sizeof *ret);
	for (size_t tree = TAG_V2; tree < TAG_TREES; tree++) {
		tag_path(s, name, (enum tag_tree)tree, path);
		if (lstat(path, &st) < 0)
			continue;
		add_stamp(ret, 2 * tree, &st);
		if (S_ISLNK(st.st_mode) && stat(path, &st) == 0)
			add_stamp(ret, 2 * tree + 1, &st);
	}
}

int store_list(struct store *s, struct store_entry **ret, size_t *ret_n, struct err *err)
{
	struct store_entry *entries;
	struct model_name *names;
	size_t n, count = 0;
	int r = tag_names(s, &names, &n, err);

	if (r < 0)
		return r;
	entries = calloc(n + 1, sizeof *entries);
	if (!entries) {
		free(names);
		return err_set(err, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < n; i++) {
		struct err why;

		entries[count].name = names[i];
		if (store_read(s, &names[i], &entries[count].manifest, &why) == 0)
			count++;
		else
			log_debug("skipped in the list: %s", why.text);
	}
	free(names);
	if (count)
		qsort(entries, count, sizeof *entries, newest_first);
	*ret = entries;
	*ret_n = count;
	return 0;
}

void store_list_free(struct store_entry *entries, size_t n)
{
	for (size_t i = 0; entries && i < n; i++)
		manifest_free(entries[i].manifest);
	free(entries);
}
