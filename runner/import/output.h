#ifndef EASEL_RUNNER_IMPORT_OUTPUT_H
#define EASEL_RUNNER_IMPORT_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/manifest.h"
#include "common/store.h"
#include "runner/import/import.h"
#include "runner/import/options.h"

/* The model being put together: its layers so far, and which blobs are new. */
struct output {
	struct store *store;
	const struct import_hooks *hooks;
	struct manifest *manifest;
	struct manifest *fresh;                 /* layers whose blobs this import wrote */
	bool announce;                          /* a status line per small layer */
};

int output_init(struct output *o, struct store *s, const struct import_hooks *hooks,
		struct err *err);
void output_finish(struct output *o);
/* Gives the disk back after a failure. */
void output_discard(struct output *o);

bool output_cancelled(const struct output *o);
void output_status(const struct output *o, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Notes a blob just written as the next layer; NULL without memory. */
struct layer *output_layer(struct output *o, const char *media_type, const char *digest,
			   uint64_t size, const char *name, bool is_new);
/* Writes small content as the next layer. */
int output_add(struct output *o, const char *media_type, const char *name,
	       const void *data, size_t len, struct err *err);
/* JSON content, one line. */
int output_add_json(struct output *o, const char *media_type, const json_t *value, struct err *err);
/* Takes a layer over as it is, marked as coming from another model. */
int output_copy(struct output *o, const struct layer *layer, const char *from, struct err *err);

/* Config blob, manifest, tag; frees what only the replaced manifest used. */
int output_write(struct output *o, const struct options *options, const char *config,
		 size_t config_len, struct import_result *ret, struct err *err);

#endif
