/*
 * A disk that takes its time for each sync: preloaded into a gateway by a test. Where
 * EASEL_SYNCS names a file that is there, the n-th sync ends when n bytes are in it. Owns the
 * count; any thread.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int fsync(int fd);

int fsync(int fd)
{
	static _Atomic long n_syncs;
	const char *path = getenv("EASEL_SYNCS");
	struct stat st;
	long turn;

	(void)fd;
	if (!path || stat(path, &st) < 0)
		return 0;
	for (turn = ++n_syncs; stat(path, &st) == 0 && st.st_size < turn;)
		usleep(2000);
	return 0;
}
