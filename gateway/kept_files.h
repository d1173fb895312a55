#ifndef EASEL_GATEWAY_KEPT_FILES_H
#define EASEL_GATEWAY_KEPT_FILES_H

#include <stddef.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "common/err.h"
#include "gateway/upload.h"

/*
 * Pictures kept for a while under names that nobody can guess, for answers that give an
 * URL. Bounded in number, bytes and time: the oldest go first.
 */
#define KEPT_NAME_SIZE 48

struct kept_files;

/* held counts their bytes and outlives the connections that send them. */
int kept_files_create(struct event_base *base, struct uploads *held, struct kept_files **ret,
		      struct err *err);
void kept_files_destroy(struct kept_files *files);
/* Copies data; ret is "<32 hex digits>.<extension>". -ENOMEM when there is no room. */
int kept_files_add(struct kept_files *files, const void *data, size_t len, const char *extension,
		   char ret[KEPT_NAME_SIZE]);
/* Appends the file to out without copying; -ENOENT. */
int kept_files_append(struct kept_files *files, const char *name, struct evbuffer *out);

#endif
