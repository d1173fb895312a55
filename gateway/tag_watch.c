/*
 * Notes of changes in the trees of tags and in the blobs, by inotify. Owns the descriptor
 * and a node for each folder watched; runs on the event loop.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "common/log.h"
#include "common/store.h"
#include "gateway/tag_watch.h"

#define FOLDER_EVENTS (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR)
#define TAG_EVENTS    (FOLDER_EVENTS | IN_CLOSE_WRITE | IN_MODIFY)
#define BLOB_EVENTS   (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB | IN_ONLYDIR)

/* What a folder holds: of the parts of a name, those up to here are given by its path. */
enum depth { DEPTH_HOSTS, DEPTH_NAMESPACES, DEPTH_MODELS, DEPTH_TAGS, DEPTH_ROOT, DEPTH_BLOBS };

struct folder {
	enum depth depth;
	char path[];                    /* whole */
};

struct tag_watch {
	int fd;
	char *root;
	struct stat is;                 /* root, when it was opened */
	struct folder **folders;        /* by watch descriptor; NULL: not watched any more */
	size_t n_folders;
	struct tag_changes *changes;    /* of the call under way; NULL while opening */
	bool lost;
};

#define BLOBS "blobs"
static const char *const parts[] = { "manifests", "manifests-v2", BLOBS };
#define N_PARTS (sizeof(parts) / sizeof(parts[0]))

/* ---- what changed ---- */

void tag_changes_clear(struct tag_changes *c)
{
	free(c->names);
	free(c->digests);
	*c = (struct tag_changes){ 0 };
}

/* Room for one more; false without memory. */
static bool reserve(void **list, size_t n, size_t *size, size_t element)
{
	const size_t bigger = *size ? 2 * *size : 16;
	void *more;

	if (n < *size)
		return true;
	more = reallocarray(*list, bigger, element);
	if (!more)
		return false;
	*list = more;
	*size = bigger;
	return true;
}

static void note_tag(struct tag_watch *w, const struct folder *f, const char *tag)
{
	struct tag_changes *c = w->changes;
	const char *path = f->path + strlen(w->root) + 1;
	struct model_name name;

	if (!c || f->depth != DEPTH_TAGS || tag[0] == '.' || !store_tag_name(path, tag, &name))
		return;
	if (reserve((void **)&c->names, c->n_names, &c->names_size, sizeof(*c->names)))
		c->names[c->n_names++] = name;
	else
		w->lost = true;
}

static void note_blob(struct tag_watch *w, const char *file)
{
	struct tag_changes *c = w->changes;
	char digest[DIGEST_SIZE];

	if (!c || digest_parse(file, digest, NULL) < 0)
		return;
	if (reserve((void **)&c->digests, c->n_digests, &c->digests_size, sizeof(*c->digests)))
		memcpy(c->digests[c->n_digests++], digest, DIGEST_SIZE);
	else
		w->lost = true;
}

/* ---- folders ---- */

static bool keep(struct tag_watch *w, int wd, struct folder *f)
{
	const size_t n = (size_t)wd + 1;

	if (n > w->n_folders) {
		const size_t size = n + n / 2;
		struct folder **more = reallocarray(w->folders, size, sizeof(*more));

		if (!more)
			return false;
		memset(more + w->n_folders, 0, (size - w->n_folders) * sizeof(*more));
		w->folders = more;
		w->n_folders = size;
	}
	free(w->folders[wd]);
	w->folders[wd] = f;
	return true;
}

/* One folder; NULL when it is gone, or w is lost. */
static const struct folder *watch(struct tag_watch *w, const char *path, enum depth depth)
{
	static const unsigned events[] = {
		[DEPTH_HOSTS] = FOLDER_EVENTS, [DEPTH_NAMESPACES] = FOLDER_EVENTS, [DEPTH_MODELS] = FOLDER_EVENTS,
		[DEPTH_TAGS] = TAG_EVENTS, [DEPTH_ROOT] = FOLDER_EVENTS, [DEPTH_BLOBS] = BLOB_EVENTS,
	};
	const size_t len = strlen(path);
	struct folder *f = malloc(sizeof(*f) + len + 1);
	int wd = f ? inotify_add_watch(w->fd, path, events[depth]) : -1;

	if (wd >= 0) {
		f->depth = depth;
		memcpy(f->path, path, len + 1);
		if (keep(w, wd, f))
			return f;
	}
	if (!f || wd >= 0 || (errno != ENOENT && errno != ENOTDIR))
		w->lost = true;
	free(f);
	return NULL;
}

/* What readdir() says of an entry, also where the file system does not tell. */
static unsigned char type_of(const char *path, unsigned char type)
{
	struct stat st;

	return type == DT_UNKNOWN && lstat(path, &st) == 0 ? (unsigned char)IFTODT(st.st_mode) : type;
}

static void watch_all(struct tag_watch *w, const char *path, enum depth depth);

/* Something in a folder of folders. Where a link leads to may change without a note in here. */
static void watch_below(struct tag_watch *w, const char *path, unsigned char type, enum depth depth)
{
	if (type == DT_DIR)
		watch_all(w, path, depth);
	else if (type == DT_LNK)
		w->lost = true;
}

/* A folder and all below. What lies in there may be older than the watch, so it is noted. */
static void watch_all(struct tag_watch *w, const char *path, enum depth depth)
{
	const struct folder *f = watch(w, path, depth);
	char below[PATH_MAX];
	struct dirent *entry;
	DIR *dir = f ? opendir(path) : NULL;

	if (f && !dir && errno != ENOENT)
		w->lost = true;
	while (dir && !w->lost && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		if ((size_t)snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) >= sizeof(below))
			continue;
		if (depth == DEPTH_TAGS)
			note_tag(w, f, entry->d_name);
		else
			watch_below(w, below, type_of(below, entry->d_type), depth + 1);
	}
	if (dir)
		closedir(dir);
}

#define LUSTRE_MAGIC 0x0bd00bd0u
#define GFS2_MAGIC   0x01161970u
#define VBOXSF_MAGIC 0x786f4256u        /* which the kernel's header does not have */

/* Where others may write without this machine's kernel. */
static bool is_remote(const char *path)
{
	static const unsigned remote[] = {
		NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC, FUSE_SUPER_MAGIC,
		V9FS_MAGIC, CEPH_SUPER_MAGIC, AFS_SUPER_MAGIC, OCFS2_SUPER_MAGIC, LUSTRE_MAGIC, GFS2_MAGIC, VBOXSF_MAGIC,
	};
	struct statfs fs;

	if (statfs(path, &fs) < 0)
		return errno != ENOENT;
	for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
		if ((unsigned)fs.f_type == remote[i])
			return true;
	return false;
}

/* One of the store's three folders, which may be a mount of its own; none is fine. */
static void watch_part(struct tag_watch *w, const char *name, enum depth depth)
{
	char path[PATH_MAX];

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", w->root, name) >= sizeof(path) || is_remote(path))
		w->lost = true;
	else if (depth == DEPTH_BLOBS)
		watch(w, path, depth);
	else
		watch_all(w, path, depth);
}

struct tag_watch *tag_watch_open(const char *root)
{
	struct tag_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->root = strdup(root);
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	w->lost = !w->root || w->fd < 0 || stat(root, &w->is) < 0 || is_remote(root);
	if (!w->lost)
		watch(w, root, DEPTH_ROOT);
	for (size_t i = 0; i < N_PARTS && !w->lost; i++)
		watch_part(w, parts[i], !strcmp(parts[i], BLOBS) ? DEPTH_BLOBS : DEPTH_HOSTS);
	if (!w->lost)
		return w;
	log_debug("models are looked for on the disk each time: %s cannot be watched", root);
	tag_watch_close(w);
	return NULL;
}

void tag_watch_close(struct tag_watch *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->n_folders; i++)
		free(w->folders[i]);
	if (w->fd >= 0)
		close(w->fd);
	free(w->folders);
	free(w->root);
	free(w);
}

/* ---- events ---- */

static bool is_ours(const char *name)
{
	for (size_t i = 0; i < N_PARTS; i++)
		if (!strcmp(name, parts[i]))
			return true;
	return false;
}

/* A folder came, or went: one that was moved takes its tags along without a word. */
static void on_folder_event(struct tag_watch *w, const struct folder *f, const struct inotify_event *e)
{
	const bool is_folder = e->mask & IN_ISDIR;
	char below[PATH_MAX];

	if (e->name[0] == '.' || e->mask & IN_DELETE)
		return;
	if (e->mask & (IN_MOVED_FROM | IN_ATTRIB))
		w->lost = is_folder;
	else if ((size_t)snprintf(below, sizeof(below), "%s/%s", f->path, e->name) < sizeof(below))
		watch_below(w, below, is_folder ? DT_DIR : type_of(below, DT_UNKNOWN), f->depth + 1);
}

static void on_event(struct tag_watch *w, const struct inotify_event *e)
{
	const struct folder *f = e->wd >= 0 && (size_t)e->wd < w->n_folders ? w->folders[e->wd] : NULL;

	if (e->mask & (IN_Q_OVERFLOW | IN_UNMOUNT))
		w->lost = true;
	if (!f || w->lost)
		return;
	if (e->mask & IN_IGNORED) {
		w->lost = f->depth == DEPTH_ROOT || f->depth == DEPTH_BLOBS || f->depth == DEPTH_HOSTS;
		free(w->folders[e->wd]);
		w->folders[e->wd] = NULL;
	} else if (!e->len) {
		return;                 /* of the folder itself: its parent tells */
	} else if (f->depth == DEPTH_ROOT) {
		w->lost = is_ours(e->name);
	} else if (f->depth == DEPTH_BLOBS) {
		note_blob(w, e->name);
	} else if (f->depth == DEPTH_TAGS) {
		if (!(e->mask & IN_ISDIR))
			note_tag(w, f, e->name);
	} else {
		on_folder_event(w, f, e);
	}
}

/* Moved away, or something mounted over it: nothing in the folder tells. */
static bool is_there(const struct tag_watch *w)
{
	struct stat now;

	return stat(w->root, &now) == 0 && now.st_ino == w->is.st_ino && now.st_dev == w->is.st_dev;
}

bool tag_watch_poll(struct tag_watch *w, struct tag_changes *changes)
{
	_Alignas(struct inotify_event) char data[16384];
	ssize_t n;

	w->changes = changes;
	w->lost |= !is_there(w);
	while (!w->lost && (n = read(w->fd, data, sizeof(data))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			w->lost = errno != EAGAIN;
			break;
		}
		for (ssize_t at = 0; at < n && !w->lost;) {
			const struct inotify_event *e = (const void *)(data + at);

			on_event(w, e);
			at += (ssize_t)(sizeof(*e) + e->len);
		}
	}
	w->changes = NULL;
	return !w->lost;
}
