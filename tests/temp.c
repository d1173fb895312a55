/*
 * Temporary folders for tests.
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "tests/temp.h"

char *temp_create(void)
{
	const char *base = getenv("TMPDIR");
	char path[PATH_MAX], *ret;

	snprintf(path, sizeof path, "%s/easel-test-XXXXXX", base ? base : "/tmp");
	assert_non_null(mkdtemp(path));
	ret = strdup(path);
	assert_non_null(ret);
	return ret;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st;
	(void)type;
	(void)walk;
	return remove(path);
}

void temp_remove(char *path)
{
	assert_int_equal(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
	free(path);
}

static void join(const char *folder, const char *name, char ret[PATH_MAX])
{
	assert_true(snprintf(ret, PATH_MAX, "%s/%s", folder, name) < PATH_MAX);
}

void temp_write(const char *folder, const char *name, const void *data, size_t len)
{
	char path[PATH_MAX];
	FILE *file;

	join(folder, name, path);
	for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = '\0';
		mkdir(path, 0755);
	}
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

bool temp_exists(const char *folder, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	join(folder, name, path);
	return lstat(path, &st) == 0;
}

void temp_age(const char *folder, const char *name, long seconds)
{
	const struct timespec then = { .tv_sec = time(NULL) - seconds }, times[2] = { then, then };
	char path[PATH_MAX];

	join(folder, name, path);
	assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

size_t temp_count(const char *folder, const char *name)
{
	char path[PATH_MAX];
	struct dirent *entry;
	size_t n = 0;
	DIR *dir;

	join(folder, name, path);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		n += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	if (dir)
		closedir(dir);
	return n;
}
