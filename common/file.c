/*
 * Whole files: bounded reading, and replacing by temporary file, fsync, rename and
 * fsync of the folder. Owns nothing; any thread, blocks on the disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"

static int check_size(int fd, const char *path, size_t max, size_t *ret, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(err, errno, "read %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EBADMSG, "%s is not a regular file", path);
	if ((uint64_t)st.st_size > max)
		return err_set(err, -EBADMSG, "%s is %jd bytes, more than the %zu allowed", path,
			       (intmax_t)st.st_size, max);
	*ret = (size_t)st.st_size;
	return 0;
}

int file_load_fd(int fd, const char *path, size_t max, char **ret, size_t *ret_len, struct err *err)
{
	size_t size = 0, len = 0;
	ssize_t n = 1;
	char *data;
	int r = check_size(fd, path, max, &size, err);

	if (r < 0)
		return r;
	data = malloc(size + 1);
	if (!data)
		return err_set(err, -ENOMEM, "out of memory for %s (%zu bytes)", path, size);
	while (len < size && n > 0) {
		n = read(fd, data + len, size - len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			len += (size_t)n;
	}
	if (n < 0) {
		r = err_errno(err, errno, "read %s", path);
		free(data);
		return r;
	}
	data[len] = '\0';               /* shorter than size: cut while we read */
	*ret = data;
	*ret_len = len;
	return 0;
}

int file_load(const char *path, size_t max, char **ret, size_t *ret_len, struct err *err)
{
	int r, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_errno(err, errno, "open %s", path);
	r = file_load_fd(fd, path, max, ret, ret_len, err);
	close(fd);
	return r;
}

int file_write_all(int fd, const char *path, const void *data, size_t len, struct err *err)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, errno, "write %s", path);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Length of the folder part of path, without the slash; 0 for the current folder. */
static size_t parent_len(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return 0;
	return slash == path ? 1 : (size_t)(slash - path);
}

static void parent_of(const char *path, char ret[PATH_MAX])
{
	size_t len = parent_len(path);

	if (!len)
		snprintf(ret, PATH_MAX, ".");
	else
		snprintf(ret, PATH_MAX, "%.*s", (int)(len < PATH_MAX ? len : PATH_MAX - 1), path);
}

void file_temp_name(const char *path, char *ret, size_t size)
{
	char folder[PATH_MAX];
	uint64_t number = 0;

	/* A clash only makes the exclusive create fail. */
	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) < 0)
		number = (uint64_t)getpid();
	parent_of(path, folder);
	snprintf(ret, size, "%s/" FILE_TEMP_PREFIX "%" PRIu64, folder, number);
}

static int write_and_sync(int fd, const char *path, const void *data, size_t len, struct err *err)
{
	int r = file_write_all(fd, path, data, len, err);

	if (r < 0)
		return r;
	if (fchmod(fd, 0644) < 0 || fsync(fd) < 0)
		return err_errno(err, errno, "write %s", path);
	return 0;
}

int file_prepare(const char *path, const void *data, size_t len, char *ret_temp, size_t size, struct err *err)
{
	int r, fd;

	file_temp_name(path, ret_temp, size);
	fd = open(ret_temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_errno(err, errno, "create %s", path);
	r = write_and_sync(fd, path, data, len, err);
	close(fd);
	if (r < 0)
		unlink(ret_temp);
	return r;
}

int file_commit(const char *temp, const char *path, struct err *err)
{
	int error;

	if (rename(temp, path) == 0)
		return dir_sync_parent(path, err);
	error = errno;
	unlink(temp);
	return err_errno(err, error, "rename to %s", path);
}

int file_replace(const char *path, const void *data, size_t len, struct err *err)
{
	char temp[PATH_MAX];
	int r = file_prepare(path, data, len, temp, sizeof(temp), err);

	return r < 0 ? r : file_commit(temp, path, err);
}

/* The parent is synced too: what is written below must not be lost with the folder. */
static int make_one(const char *path, struct err *err)
{
	int error;

	if (mkdir(path, 0755) == 0)
		return dir_sync_parent(path, err);
	error = errno;
	if (error != EEXIST && access(path, F_OK) < 0)
		return err_errno(err, error, "create folder %s", path);
	return 0;
}

int dir_make(const char *path, struct err *err)
{
	char part[PATH_MAX];
	size_t len = strlen(path);
	int r;

	if (len >= sizeof(part))
		return err_set(err, -ENAMETOOLONG, "%.100s...: path too long", path);
	memcpy(part, path, len + 1);
	for (char *p = part + 1; len && p <= part + len; p++) {
		char c = *p;

		if (c && c != '/')
			continue;
		*p = '\0';
		r = make_one(part, err);
		if (r < 0)
			return r;
		*p = c;
	}
	return 0;
}

int dir_sync(const char *path, struct err *err)
{
	int r = 0, fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(err, errno, "open %s", path);
	if (fsync(fd) < 0 && errno != EINVAL)   /* some file systems cannot sync folders */
		r = err_errno(err, errno, "sync %s", path);
	close(fd);
	return r;
}

int dir_make_parent(const char *path, struct err *err)
{
	char folder[PATH_MAX];

	parent_of(path, folder);
	return dir_make(folder, err);
}

int dir_sync_parent(const char *path, struct err *err)
{
	char folder[PATH_MAX];

	parent_of(path, folder);
	return dir_sync(folder, err);
}
