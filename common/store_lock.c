/*
 * The store's lock file: keeps one process from freeing blobs that another has written
 * or found, and has not named in a tag yet. The kernel lets go when a process dies.
 * One thread per store.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "common/log.h"
#include "common/store_internal.h"

#define LOCK_FILE ".easel-lock"

void store_lock_open(struct store *s)
{
	char path[STORE_PATH];

	snprintf(path, sizeof path, "%s/" LOCK_FILE, s->root);
	s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (s->lock < 0)                /* a read-only store: nothing is freed there */
		log_debug("no lock file %s: %s", path, strerror(errno));
}

void store_hold(struct store *s)
{
	int r;

	if (s->lock < 0)
		return;
	do
		r = flock(s->lock, LOCK_SH);
	while (r < 0 && errno == EINTR);
	if (r < 0)                      /* a file system without locks: as careless as the reference */
		log_debug("cannot lock the store: %s", strerror(errno));
}

bool store_lock_alone(struct store *s)
{
	return s->lock < 0 || flock(s->lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

void store_unlock(struct store *s)
{
	if (s->lock >= 0)
		flock(s->lock, LOCK_UN);
}
