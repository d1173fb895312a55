#ifndef EASEL_GATEWAY_UPLOAD_H
#define EASEL_GATEWAY_UPLOAD_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The bytes that all clients of one server made it hold; outlives them. The queue bounds
 * how many there are, this their bytes: bodies being received, pictures, prompts.
 */
struct uploads {
	size_t held, max;
};
/* Whether len more may be held, of a request that holds own already; small ones always may. */
bool uploads_have_room(const struct uploads *all, size_t own, size_t len);

/*
 * Bytes that a client sent, shared by all who still need a part of them: the job, and
 * the sockets they go out on. The last reference frees them.
 */
struct upload {
	char *data;                     /* NUL-terminated; changed only while a body is read */
	size_t len;
	unsigned refs;
	struct uploads *all;            /* counted there until the last reference is gone */
};

/* A part of an upload. */
struct piece {
	char *data;
	size_t len;
};

/* Takes data over, also without memory; NULL then, and for NULL. Refuses nothing else. */
struct upload *upload_create(struct uploads *all, char *data, size_t len);
struct upload *upload_ref(struct upload *u);
void upload_unref(struct upload *u);            /* NULL is allowed */
/* Whether it may be kept for later beside all others; NULL: there is nothing to keep. */
bool upload_fits(const struct upload *u);

#endif
