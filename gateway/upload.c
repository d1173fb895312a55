/*
 * Counted references to what a client sent. Owns the bytes; runs on the event loop.
 */
#include <stdlib.h>

#include "common/limits.h"
#include "gateway/upload.h"

bool uploads_have_room(const struct uploads *all, size_t own, size_t len)
{
	return own + len <= LIMIT_BODY_SMALL || all->held + len <= all->max;
}

struct upload *upload_create(struct uploads *all, char *data, size_t len)
{
	struct upload *u = data ? malloc(sizeof(*u)) : NULL;

	if (!u) {
		free(data);
		return NULL;
	}
	*u = (struct upload){ .data = data, .len = len, .refs = 1, .all = all };
	all->held += len;
	return u;
}

struct upload *upload_ref(struct upload *u)
{
	u->refs++;
	return u;
}

void upload_unref(struct upload *u)
{
	if (!u || --u->refs)
		return;
	u->all->held -= u->len;
	free(u->data);
	free(u);
}

bool upload_fits(const struct upload *u)
{
	return !u || u->all->held <= u->all->max;
}
