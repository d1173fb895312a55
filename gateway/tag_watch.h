#ifndef EASEL_GATEWAY_TAG_WATCH_H
#define EASEL_GATEWAY_TAG_WATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "common/digest.h"
#include "common/name.h"

/*
 * What changed in a store since it was looked at last: the kernel keeps notes of the folders
 * of tags and blobs (inotify), and every change made before a call is among them. Runs on
 * the event loop.
 */
struct tag_watch;

struct tag_changes {
	struct model_name *names;       /* whose files changed, perhaps several times, also those that are gone */
	size_t n_names, names_size;
	char (*digests)[DIGEST_SIZE];   /* blobs that came, went, or changed */
	size_t n_digests, digests_size;
};

/* Starts watching; NULL where it cannot be done: a remote file system, too many folders. */
struct tag_watch *tag_watch_open(const char *root);
void tag_watch_close(struct tag_watch *w);      /* NULL is fine */
/* False: the notes do not suffice; open anew, then look at everything. Zero changes before; clear them after. */
bool tag_watch_poll(struct tag_watch *w, struct tag_changes *changes);
void tag_changes_clear(struct tag_changes *c);

#endif
