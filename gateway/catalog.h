#ifndef EASEL_GATEWAY_CATALOG_H
#define EASEL_GATEWAY_CATALOG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/store.h"

/*
 * The models of the store: what lists tell of them, and the manifests read last. Both are
 * kept, since a manifest of a thousand layers takes milliseconds to read, and clients ask
 * all the time. What changed on the disk is known from the kernel (gateway/tag_watch.h) or,
 * where that cannot be, looked for each time; only that is read again.
 */
struct catalog_entry {
	struct model_name name;
	char digest[DIGEST_SIZE];
	int64_t mtime_ns;
	uint64_t size;
	char *short_name;
	char *listed;                   /* its object in /api/tags, as text */
};

struct catalog;

struct store *catalog_store(struct catalog *c);
/* store_read() that keeps the last few; *ret may be shared and is not to be changed. */
int catalog_read(struct catalog *c, const struct model_name *name, struct manifest **ret,
		 struct err *err);
/* store_resolve(), without a walk over the disk where all names are known. */
int catalog_resolve(struct catalog *c, const struct model_name *name, struct model_name *ret, struct err *err);

int catalog_create(struct store *store, struct catalog **ret, struct err *err);
void catalog_destroy(struct catalog *c);
/*
 * All readable models, newest mtime (whole seconds) first, ties by name; the broken ones
 * are logged and left out. The array stays until the next call of any of these.
 */
int catalog_list(struct catalog *c, const struct catalog_entry *const **ret, size_t *ret_n,
		 struct err *err);

#endif
