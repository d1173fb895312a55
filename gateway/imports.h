#ifndef EASEL_GATEWAY_IMPORTS_H
#define EASEL_GATEWAY_IMPORTS_H

#include "gateway/bodies.h"
#include "gateway/gateway.h"

/* Models being created, each by an easel-runner --import of its own. */
struct imports;
struct import;

/* Not called any more once import_cancel() was. */
struct import_handler {
	void (*status)(void *owner, const struct msg_status *status);
	/* err NULL: the tag is written, or all blobs are whole. The import is void afterwards. */
	void (*done)(void *owner, const struct err *err);
};

int imports_create(struct gateway *gw, struct imports **ret, struct err *err);
void imports_destroy(struct imports *all);

/*
 * name: where to; directory: source folder, or NULL: b->files or b->from. -EBUSY
 * while the same name is being created.
 */
int import_start(struct imports *all, const struct model_name *name, const char *directory,
		 const struct create_body *b, const struct import_handler *handler, void *owner,
		 struct import **ret, struct err *err);
/* The client left: the importer tidies up and goes. */
void import_cancel(struct import *import);

#endif
