#ifndef EASEL_RUNNER_IMPORT_PLAN_H
#define EASEL_RUNNER_IMPORT_PLAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/err.h"
#include "common/safetensors.h"
#include "runner/import/source.h"

/*
 * Everything an import of a folder will write, found and parsed before anything is
 * written: weight files in layer order, configs, licenses. Tensor data is not read.
 */
enum { PLAN_COMPONENTS = 3 };
extern const char *const plan_components[PLAN_COMPONENTS];     /* in layer order */

struct plan_file {                      /* one weight file, kept open */
	const char *component;
	char *name;                     /* "transformer/model-00001-of-00002.safetensors" */
	int fd;
	struct safetensors st;          /* tensors sorted by name */
	char (*stored)[DIGEST_SIZE];    /* per tensor: its blob where the store has it, else "" */
};
struct plan_text {                      /* one small file */
	char *name;                     /* "vae/config.json" */
	char *bytes;                    /* as in the source */
	size_t len;
	json_t *json;                   /* parsed when the name ends in ".json", else NULL */
};
struct plan {
	json_t *model_index;
	struct plan_file *files;
	size_t n_files;
	struct plan_text *texts;        /* "model_index.json" is not among them */
	size_t n_texts;
	struct plan_text *licenses;     /* LICENSE* of the root */
	size_t n_licenses;
	bool edits;                     /* the model can refer to pictures: check_model() */
};

/* -EINVAL names the file, tensor or member that is wrong. */
int plan_create(const struct source *s, struct plan **ret, struct err *err);
void plan_free(struct plan *p);                         /* NULL is fine */

/* A parsed config ("vae/config.json"), or NULL. */
const json_t *plan_json(const struct plan *p, const char *name);
/* Elements of all tensors, of one component or of all (NULL). */
uint64_t plan_parameters(const struct plan *p, const char *component);
/* Bytes that the store will grow by at most; tensors that are stored do not count. */
uint64_t plan_bytes(const struct plan *p);

#endif
