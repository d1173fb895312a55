/*
 * A disk that takes its time for each sync: preloaded into a gateway by a test. Owns
 * nothing; any thread.
 */
#include <unistd.h>

int fsync(int fd);

int fsync(int fd)
{
	(void)fd;
	usleep(300000);
	return 0;
}
