/*
 * Pages of nameless files. Owns nothing; any thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/file.h"
#include "common/log.h"
#include "common/settings.h"
#include "runner/weights_scratch.h"

/* Room is taken now: a full disk must not end the process when a page is touched. */
static int open_file(uint64_t bytes)
{
	char *folder = settings_cache_dir();
	int fd = -1;

	if (folder && dir_make(folder, NULL) == 0)
		fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 && posix_fallocate(fd, 0, (off_t)bytes) != 0) {
		close(fd);
		fd = -1;
	}
	if (fd < 0)
		log_debug("no file of %llu bytes in %s: memory instead", (unsigned long long)bytes,
			  folder ? folder : "a cache folder");
	free(folder);
	return fd;
}

bool scratch_create(uint64_t bytes, struct scratch *ret)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	int fd;

	bytes = (bytes + page - 1) / page * page;
	fd = open_file(bytes);
	if (fd < 0)
		return false;
	ret->map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ret->bytes = bytes;
	close(fd);
	if (ret->map == MAP_FAILED)
		*ret = (struct scratch){ 0 };
	return ret->map;
}

void scratch_free(struct scratch *s)
{
	if (s->map)
		munmap(s->map, s->bytes);
	*s = (struct scratch){ 0 };
}
