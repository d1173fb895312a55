#ifndef EASEL_GATEWAY_UPLOAD_H
#define EASEL_GATEWAY_UPLOAD_H

#include <stddef.h>

/*
 * Bytes that a client sent, shared by all who still need a part of them: the job, and
 * the sockets they go out on. The last reference frees them.
 */
struct upload {
	char *data;                     /* NUL-terminated; changed only while a body is read */
	size_t len;
	unsigned refs;
};

/* A part of an upload. */
struct piece {
	char *data;
	size_t len;
};

/* Takes data over, also without memory; NULL then, and for NULL. */
struct upload *upload_create(char *data, size_t len);
struct upload *upload_ref(struct upload *u);
void upload_unref(struct upload *u);            /* NULL is allowed */

#endif
