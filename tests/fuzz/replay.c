/*
 * Runs a fuzz target over the files of the folders named, where there is no libFuzzer.
 */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/file.h"
#include "tests/fuzz/fuzz.h"

#define MAX_BYTES (64u << 20)

static int replay_file(const char *path)
{
	struct err err;
	uint8_t *exact;
	char *data;
	size_t len;

	if (file_load(path, MAX_BYTES, &data, &len, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return -1;
	}
	exact = malloc(len ? len : 1);          /* not a byte more, so that overruns are seen */
	if (exact) {
		memcpy(exact, data, len);
		LLVMFuzzerTestOneInput(exact, len);
	}
	free(exact);
	free(data);
	return 0;
}

static int replay_folder(const char *folder)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir = opendir(folder);
	int files = 0;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		if (replay_file(path) < 0) {
			files = 0;
			break;
		}
		files++;
	}
	if (dir)
		closedir(dir);
	if (!files)
		fprintf(stderr, "%s: no inputs\n", folder);
	return files ? 0 : 1;
}

int main(int argc, char **argv)
{
	int r = 0;

	for (int i = 1; i < argc; i++)
		r |= replay_folder(argv[i]);
	return r;
}
