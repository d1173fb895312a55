/*
 * Copies of model folders that tests break file by file. One thread.
 */
#include <dirent.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/runner/folder.h"

char *folder_temporary(void)
{
	const char *base = getenv("TMPDIR");
	char *path;

	assert_true(asprintf(&path, "%s/easel-XXXXXX", base ? base : "/tmp") > 0);
	assert_non_null(mkdtemp(path));
	return path;
}

const char *folder_path(const char *folder, const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 8];

	assert_true(snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX);
	return path;
}

char *folder_read(const char *folder, const char *name, size_t *ret_len)
{
	FILE *f = fopen(folder_path(folder, name), "rb");
	struct stat st;
	char *data;

	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	data = malloc((size_t)st.st_size + 1);
	assert_non_null(data);
	assert_int_equal(fread(data, 1, (size_t)st.st_size, f), st.st_size);
	fclose(f);
	data[st.st_size] = '\0';
	*ret_len = (size_t)st.st_size;
	return data;
}

void folder_write(const char *folder, const char *name, const void *data, size_t len)
{
	FILE *f = fopen(folder_path(folder, name), "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

void folder_truncate(const char *folder, const char *name, long by)
{
	const char *path = folder_path(folder, name);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, by < 0 ? -by : st.st_size - by), 0);
}

void folder_copy(const char *from, const char *to)
{
	struct dirent *entry;
	DIR *dir = opendir(from);

	assert_non_null(dir);
	assert_int_equal(mkdir(to, 0755), 0);
	while ((entry = readdir(dir))) {
		struct stat st;
		size_t len;

		if (entry->d_name[0] == '.')
			continue;
		assert_int_equal(stat(folder_path(from, entry->d_name), &st), 0);
		if (S_ISDIR(st.st_mode)) {
			char *inner = strdup(folder_path(from, entry->d_name));
			char *copy = strdup(folder_path(to, entry->d_name));

			folder_copy(inner, copy);
			free(inner);
			free(copy);
		} else {
			char *data = folder_read(from, entry->d_name, &len);

			folder_write(to, entry->d_name, data, len);
			free(data);
		}
	}
	closedir(dir);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

void folder_remove(const char *path)
{
	assert_int_equal(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

size_t folder_count(const char *path)
{
	char *here = strdup(path);      /* path may be one that folder_path() reuses */
	DIR *dir = opendir(here);
	struct dirent *entry;
	size_t n = 0;

	while (dir && (entry = readdir(dir))) {
		const char *inner = folder_path(here, entry->d_name);
		struct stat st;

		if (entry->d_name[0] == '.')
			continue;
		assert_int_equal(lstat(inner, &st), 0);
		n += S_ISDIR(st.st_mode) ? folder_count(inner) : 1;
	}
	if (dir)
		closedir(dir);
	free(here);
	return n;
}

json_t *folder_json(const char *folder, const char *name)
{
	size_t len;
	char *text = folder_read(folder, name, &len);
	json_t *value = json_loadb(text, len, 0, NULL);

	assert_non_null(value);
	free(text);
	return value;
}

void folder_write_json(const char *folder, const char *name, json_t *value)
{
	char *text = json_dumps(value, JSON_INDENT(2));

	assert_non_null(text);
	folder_write(folder, name, text, strlen(text));
	free(text);
	json_decref(value);
}

static uint64_t header_length(const char *data)
{
	uint64_t n;

	memcpy(&n, data, sizeof n);
	return n;
}

json_t *folder_header(const char *folder, const char *name)
{
	size_t len;
	char *data = folder_read(folder, name, &len);
	json_t *header = json_loadb(data + 8, header_length(data), 0, NULL);

	assert_non_null(header);
	free(data);
	return header;
}

void folder_set_header(const char *folder, const char *name, json_t *header)
{
	size_t len;
	char *data = folder_read(folder, name, &len);
	char *text = json_dumps(header, JSON_COMPACT);
	uint64_t old = header_length(data), n = strlen(text);
	size_t data_bytes = len - 8 - old;
	char *out = malloc(8 + n + data_bytes);

	assert_non_null(out);
	memcpy(out, &n, 8);
	memcpy(out + 8, text, n);
	memcpy(out + 8 + n, data + 8 + old, data_bytes);
	folder_write(folder, name, out, 8 + n + data_bytes);
	free(out);
	free(text);
	free(data);
	json_decref(header);
}
