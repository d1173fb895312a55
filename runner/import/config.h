#ifndef EASEL_RUNNER_IMPORT_CONFIG_H
#define EASEL_RUNNER_IMPORT_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/manifest.h"
#include "runner/import/plan.h"

/* The two descriptions that the importer writes itself; text is the caller's to free. */

/*
 * What the request says of the config: requires may be NULL, info too (an object of
 * "model_family" and the like, checked). quantize: the type asked for, lower case, or NULL.
 */
struct config_wishes {
	const char *requires, *quantize;
	const json_t *info;
};

/* Config blob of a model made from a folder. NULL without memory. */
char *config_of_folder(bool edits, const struct config_wishes *wishes, size_t *ret_len);
/* Config blob of a model made from another: that one's, with its own layer list. */
char *config_of_model(const json_t *base, const struct config_wishes *wishes, const struct manifest *m,
		      size_t *ret_len);
/* model_index.json with architecture, parameter count and stored type filled in. */
char *config_model_index(const struct plan *p, size_t *ret_len);
/* That of another model with another stored type. */
char *config_requantized_index(const json_t *index, const char *quantize, size_t *ret_len);

#endif
