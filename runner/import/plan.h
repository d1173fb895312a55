#ifndef EASEL_RUNNER_IMPORT_PLAN_H
#define EASEL_RUNNER_IMPORT_PLAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/err.h"
#include "common/safetensors.h"
#include "runner/quant/quant.h"
#include "runner/import/options.h"
#include "runner/import/source.h"

/*
 * Everything an import of a folder will write, found and parsed before anything is
 * written: weight files in layer order, configs, licenses. Tensor data is not read.
 */
enum { PLAN_COMPONENTS = 3 };
extern const char *const plan_components[PLAN_COMPONENTS];     /* in layer order */

struct plan_file {                      /* one weight file, kept open; or a blob, opened while it is read */
	const char *component;
	char *name;                     /* "transformer/model-00001-of-00002.safetensors"; a blob: its digest */
	int fd;                         /* a blob: -1 */
	struct safetensors st;          /* tensors sorted by name; of a GGUF file none */
	bool gguf;
	size_t first, n_tensors;        /* those of the plan that are written with it */
	uint64_t bytes;                 /* that they are read from */
};
struct plan_array {                     /* bytes of a file */
	size_t file;                    /* index */
	uint64_t at, bytes;
};
enum { PLAN_PARTS = 4 };
struct plan_part {                      /* one array of a blob */
	const char *suffix;             /* of its key: "", ".scale", ".bias" */
	enum dtype dtype;
	unsigned rank;
	uint64_t shape[LIMIT_ST_RANK];
	uint64_t bytes;
	struct plan_array from;         /* copied from there, unless the tensor is encoded */
	bool swapped;                   /* its second half comes first */
};
struct plan_tensor {                    /* one layer and its blob */
	char *name;                     /* "transformer/layers.0.attention.to_q.weight" */
	enum dtype dtype;               /* of the source */
	unsigned rank;
	uint64_t shape[LIMIT_ST_RANK];  /* in elements */
	struct quant quant;             /* as stored; zeroed: plain */
	bool encoded;                   /* from floats, while it is written */
	struct plan_array floats;
	struct plan_part parts[PLAN_PARTS];
	unsigned n_parts;
	char digest[DIGEST_SIZE];       /* of the blob where the store has it, else "" */
	uint64_t size;                  /* of the blob once that is known */
	bool is_new;
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
	struct plan_tensor *tensors;    /* in layer order */
	size_t n_tensors, tensors_size;
	size_t n_odd;                   /* kept as they are: their rows are no whole groups */
	const char *quantize;           /* as asked for, lower case; NULL: not */
	struct plan_text *texts;        /* "model_index.json" is not among them */
	size_t n_texts;
	struct plan_text *licenses;     /* LICENSE* of the root */
	size_t n_licenses;
	bool edits;                     /* the model can refer to pictures: check_model() */
};

/* -EINVAL names the file, tensor or member that is wrong. */
/* gguf: the file in the folder that holds the transformer, or NULL. */
int plan_create(const struct source *s, const char *gguf, const struct options *options, struct plan **ret, struct err *err);
void plan_free(struct plan *p);                         /* NULL is fine */

/* A parsed config ("vae/config.json"), or NULL. */
const json_t *plan_json(const struct plan *p, const char *name);
/* Elements of all tensors, of one component or of all (NULL). */
uint64_t plan_parameters(const struct plan *p, const char *component);
/* Bytes that the store will grow by at most; tensors that are stored do not count. */
uint64_t plan_bytes(const struct plan *p);

#endif
