/*
 * A disk that takes a second for each sync: preloaded into a gateway by a test. Owns
 * nothing; any thread.
 */
#include <unistd.h>

int fsync(int fd);

int fsync(int fd)
{
	(void)fd;
	sleep(1);
	return 0;
}
