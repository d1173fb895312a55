/*
 * A model's folder on its way to a server on another machine: every file that an import
 * reads, by its digest. Owns the files while they are read.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/progress.h"
#include "cli/upload.h"
#include "common/digest.h"
#include "common/limits.h"
#include "common/text.h"

#define PIECE ((size_t)1 << 20)

struct upload {
	struct client *client;
	const char *folder;
	const char *gguf;               /* the file in it that is the transformer, or NULL */
	json_t *files;
};

/* One file: its name in the folder, and what the bar over it says. */
struct file {
	int fd;
	const char *name;
	uint64_t size;
	char digest[DIGEST_SIZE];
	char label[320];
	struct progress *progress;
};

/* ---- which files ---- */

static size_t count_dots(const char *name)
{
	size_t n = 0;

	for (; *name; name++)
		n += *name == '.';
	return n;
}

/* "x.fp16.safetensors" is a variant that no import takes. */
static bool is_wanted(const struct upload *u, const char *component, const char *name)
{
	if (*name == '.')
		return false;
	if (!*component && (!strncmp(name, "LICENSE", 7) || (u->gguf && !strcmp(name, u->gguf))))
		return true;
	if (text_ends_with(name, ".safetensors"))
		return count_dots(name) == 1 && !(u->gguf && !strcmp(component, "transformer"));
	return text_ends_with(name, ".json") || text_ends_with(name, ".txt") ||
	       !strncmp(name, "chat_template.", 14);
}

static bool is_component(int folder, const char *name)
{
	struct stat st;

	return *name != '.' && fstatat(folder, name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

/* ---- one file ---- */

static int hash(struct client *c, struct file *f, struct digest *d, char *data, struct err *err)
{
	uint64_t at = 0;

	while (at < f->size) {
		ssize_t n = pread(f->fd, data, PIECE, (off_t)at);
		int r;

		if (n < 0)
			return err_errno(err, errno, "reading %s", f->name);
		if (n == 0)
			return err_set(err, -EIO, "%s became shorter while it was read", f->name);
		digest_update(d, data, (size_t)n);
		at += (uint64_t)n;
		progress_bytes(f->progress, f->label, at, f->size);
		r = client_breathe(c, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int find_digest(struct client *c, struct file *f, struct err *err)
{
	struct digest *d = digest_begin();
	char *data = malloc(PIECE);
	int r = d && data ? 0 : err_errno(err, ENOMEM, "reading %s", f->name);

	snprintf(f->label, sizeof f->label, "reading %s", f->name);
	if (r == 0)
		r = hash(c, f, d, data, err);
	if (r == 0)
		digest_end(d, f->digest);
	else if (d)
		digest_abort(d);
	free(data);
	return r;
}

static void on_sent(void *ctx, uint64_t bytes)
{
	struct file *f = ctx;

	progress_bytes(f->progress, f->label, bytes, f->size);
}

static int send_file(struct client *c, struct file *f, struct err *err)
{
	const struct client_upload u = { .fd = f->fd, .name = f->name, .size = f->size,
					 .sent = on_sent, .ctx = f };
	char path[DIGEST_SIZE + 16];
	int r;

	snprintf(path, sizeof path, "/api/blobs/%s", f->digest);
	r = client_call(c, "HEAD", path, NULL, NULL, err);
	if (r != -ENOENT)
		return r;
	snprintf(f->label, sizeof f->label, "sending %s", f->name);
	return client_upload(c, path, &u, err);
}

static int add_open_file(struct upload *u, struct file *f, struct err *err)
{
	struct stat st;
	int r;

	if (fstat(f->fd, &st) < 0)
		return err_errno(err, errno, "open %s", f->name);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s is not a regular file", f->name);
	if (json_object_size(u->files) >= LIMIT_CREATE_FILES)
		return err_set(err, -E2BIG, "%s has more than %u files", u->folder, LIMIT_CREATE_FILES);
	f->size = (uint64_t)st.st_size;
	r = find_digest(u->client, f, err);
	if (r == 0)
		r = send_file(u->client, f, err);
	if (r == 0 && json_object_set_new(u->files, f->name, json_string(f->digest)) < 0)
		r = err_set(err, -EINVAL, "%s: a name that is not UTF-8", f->name);
	return r;
}

/* name: within the folder, "transformer/config.json". */
static int add_file(struct upload *u, int folder, const char *name, const char *entry,
		    struct err *err)
{
	/* Not waiting: a pipe would hang the open. */
	struct file f = { .fd = openat(folder, entry, O_RDONLY | O_CLOEXEC | O_NONBLOCK), .name = name,
			  .progress = u->client->progress };
	int r;

	if (f.fd < 0)
		return err_errno(err, errno, "open %s", name);
	r = add_open_file(u, &f, err);
	close(f.fd);
	return r;
}

/* ---- folders ---- */

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_folder(struct upload *u, int fd, const char *component, struct err *err);

static int add_component(struct upload *u, int parent, const char *name, struct err *err)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? err_errno(err, errno, "open %s/%s", u->folder, name)
		       : add_folder(u, fd, name, err);

	if (fd >= 0)
		close(fd);
	return r;
}

static int add_entry(struct upload *u, int fd, const char *component, const char *entry,
		     struct err *err)
{
	char name[2 * NAME_MAX + 2];

	if (!*component && is_component(fd, entry))
		return add_component(u, fd, entry, err);
	if (!is_wanted(u, component, entry))
		return 0;
	snprintf(name, sizeof name, "%s%s%s", component, *component ? "/" : "", entry);
	return add_file(u, fd, name, entry, err);
}

/* component: "" for the model's own folder, whose components are one level below. */
static int add_folder(struct upload *u, int fd, const char *component, struct err *err)
{
	struct dirent **entries;
	int n = scandirat(fd, ".", &entries, NULL, by_name), r = 0;

	if (n < 0)
		return err_errno(err, errno, "reading %s/%s", u->folder, component);
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = add_entry(u, fd, component, entries[i]->d_name, err);
		free(entries[i]);
	}
	free(entries);
	return r;
}

static int upload(struct client *c, const char *folder, const char *gguf, json_t **ret_files, struct err *err)
{
	struct upload u = { .client = c, .folder = folder, .gguf = gguf, .files = json_object() };
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? err_errno(err, errno, "open %s", folder) : 0;

	if (r == 0)
		r = u.files ? add_folder(&u, fd, "", err) : err_errno(err, ENOMEM, "reading %s", folder);
	if (fd >= 0)
		close(fd);
	if (r < 0)
		json_decref(u.files);
	else
		*ret_files = u.files;
	return r;
}

int upload_folder(struct client *c, const char *path, json_t **ret_files, struct err *err)
{
	const char *slash = strrchr(path, '/');
	char *folder;
	int r;

	if (!slash || !text_ends_with(path, ".gguf"))
		return upload(c, path, NULL, ret_files, err);
	folder = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	r = folder ? upload(c, folder, slash + 1, ret_files, err) : err_errno(err, ENOMEM, "reading %s", path);
	free(folder);
	return r;
}
