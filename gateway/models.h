#ifndef EASEL_GATEWAY_MODELS_H
#define EASEL_GATEWAY_MODELS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/manifest.h"
#include "common/name.h"
#include "common/store.h"

/*
 * Names -> manifests -> what clients are told about a model. Reads small files of the
 * store on the event loop: names, manifests, configs; never weights.
 */

struct catalog;

/* What a model can do, a bit each; models.c has their names in configs. */
enum model_ability {
	MODEL_DRAWS = 1,                /* "image" */
	MODEL_SEES = 2,                 /* "vision": several pictures to draw from */
};

/* What the config blob and the model_index.json layer say. Strings may be NULL. */
struct model_card {
	char *format, *family, *parameter_size, *quantization, *requires;
	json_t *families;               /* array, or NULL for null */
	json_t *capabilities;           /* array of strings, or NULL */
	uint64_t parameter_count;
	uint64_t context_length, embedding_length;
	unsigned abilities;             /* enum model_ability */
};

/*
 * A name from a client: blanks trimmed, ":local" dropped. -EINVAL "invalid model name";
 * -EPERM for the reference's cloud names, "ollama cloud is disabled: <what> ...".
 */
int model_name_read(const char *text, const char *what, struct model_name *ret, struct err *err);
/* The existing spelling and its manifest. -ENOENT "model '<short>' not found". */
int model_read(struct catalog *c, struct model_name *name, struct manifest **ret, struct err *err);

int model_card_read(struct store *s, const struct manifest *m, struct model_card *ret,
		    struct err *err);
void model_card_clear(struct model_card *c);
/* The "details" object of tags, ps and show. */
json_t *model_details(const struct model_card *c);
/* The params layer, an object; NULL when there is none or it is damaged. */
json_t *model_params(struct store *s, const struct manifest *m);
/* "tensors" of a verbose show: name, type and shape of each, sorted. */
json_t *model_tensors(struct store *s, const struct manifest *m);
/* Digest without "sha256:". */
const char *model_hex(const char *digest);

#endif
