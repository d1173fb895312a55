/*
 * Where pictures go: names made of the prompt, folders, files, standard output. A
 * picture appears whole or not at all. Owns nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/save.h"
#include "common/file.h"

#define MAX_SAME_NAME 10000
#define SLUG_SIZE 51                    /* of a file name, its NUL counted */

/* The prompt as a file name: lower case, blanks as '-', nothing but a-z 0-9 -. */
static void make_slug(const char *prompt, char ret[SLUG_SIZE])
{
	size_t n = 0;

	for (; *prompt && n < SLUG_SIZE - 1; prompt++) {
		char c = *prompt;

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		else if (c == ' ')
			c = '-';
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')
			ret[n++] = c;
	}
	ret[n] = '\0';
	if (n == 0)
		strcpy(ret, "image");
}

static bool is_standard_output(const char *output)
{
	return output && !strcmp(output, "-");
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* The folder that a new file at path would be in; the caller frees. */
static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static int check_folder(const char *folder, struct err *err)
{
	if (!is_folder(folder))
		return err_set(err, -ENOENT, "failed to save image: there is no folder %s", folder);
	if (access(folder, W_OK | X_OK) < 0)
		return err_errno(err, errno, "failed to save image: folder %s", folder);
	return 0;
}

int save_check(const char *output, struct err *err)
{
	char *folder;
	int r;

	if (is_standard_output(output) && isatty(STDOUT_FILENO))
		return err_set(err, -EINVAL, "failed to save image: standard output is a terminal");
	if (is_standard_output(output))
		return 0;
	if (!output || is_folder(output))
		return check_folder(output ? output : ".", err);
	if (access(output, W_OK) == 0)
		return 0;
	if (errno != ENOENT)
		return err_errno(err, errno, "failed to save image: %s", output);
	folder = folder_of(output);
	if (!folder)
		return err_errno(err, ENOMEM, "failed to save image");
	r = check_folder(folder, err);
	free(folder);
	return r;
}

/* Devices and pipes, and files in folders where none can be made, are written in place. */
static int write_in_place(const char *path, const void *png, size_t len, struct err *err)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC), r;

	if (fd < 0)
		return err_errno(err, errno, "open %s", path);
	r = file_write_all(fd, path, png, len, err);
	if (close(fd) < 0 && r == 0)
		r = err_errno(err, errno, "write %s", path);
	return r;
}

static int write_file(const char *path, const void *png, size_t len, struct err *err)
{
	struct stat st;
	char *target;
	int r;

	if (stat(path, &st) < 0)
		return file_replace(path, png, len, err);
	if (!S_ISREG(st.st_mode))
		return write_in_place(path, png, len, err);
	/* What a link points to is replaced, not the link. */
	target = realpath(path, NULL);
	if (!target)
		return err_errno(err, errno, "%s", path);
	r = file_replace(target, png, len, err);
	if (r == -EACCES || r == -EPERM)
		r = write_in_place(target, png, len, err);
	free(target);
	return r;
}

static char *picture_name(const char *folder, const char *slug, const char *stamp, int number)
{
	size_t len = folder ? strlen(folder) : 0;
	char suffix[16] = "", *path;
	int n;

	if (number > 1)
		snprintf(suffix, sizeof suffix, "-%d", number);
	n = asprintf(&path, "%s%s%s-%s%s.png", folder ? folder : "",
		     len && folder[len - 1] != '/' ? "/" : "", slug, stamp, suffix);
	return n < 0 ? NULL : path;
}

/* Makes an empty file of a free name, so that no other process takes it meanwhile. */
static int reserve_name(const char *folder, const char *prompt, char **ret, struct err *err)
{
	time_t now = time(NULL);
	char slug[SLUG_SIZE], stamp[32];
	struct tm tm;

	make_slug(prompt, slug);
	localtime_r(&now, &tm);
	strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &tm);
	for (int number = 1; number < MAX_SAME_NAME; number++) {
		char *path = picture_name(folder, slug, stamp, number);
		int fd, error;

		if (!path)
			return err_errno(err, ENOMEM, "naming the picture");
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		error = errno;
		if (fd >= 0) {
			close(fd);
			*ret = path;
			return 0;
		}
		if (error != EEXIST)
			err_errno(err, error, "create %s", path);
		free(path);
		if (error != EEXIST)
			return -error;
	}
	return err_set(err, -EEXIST, "no free name for the picture");
}

static int write_named(const char *folder, const char *prompt, const void *png, size_t len,
		       char **ret_path, struct err *err)
{
	char *path = NULL;
	int r = reserve_name(folder, prompt, &path, err);

	if (r < 0)
		return r;
	r = file_replace(path, png, len, err);
	if (r < 0) {
		unlink(path);
		free(path);
		return r;
	}
	*ret_path = path;
	return 0;
}

int save_picture(const char *output, const char *prompt, const void *png, size_t len,
		 char **ret_path, struct err *err)
{
	int r;

	*ret_path = NULL;
	if (is_standard_output(output)) {
		r = file_write_all(STDOUT_FILENO, "standard output", png, len, err);
	} else if (!output || is_folder(output)) {
		r = write_named(output, prompt, png, len, ret_path, err);
	} else {
		r = write_file(output, png, len, err);
		*ret_path = r == 0 ? strdup(output) : NULL;
	}
	return r;
}
