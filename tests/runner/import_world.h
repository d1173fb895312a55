#ifndef EASEL_TESTS_RUNNER_IMPORT_WORLD_H
#define EASEL_TESTS_RUNNER_IMPORT_WORLD_H

#include "common/manifest.h"
#include "runner/import/import.h"

/* What an import happens in: a copy of a golden model, and a store. */

#define TRANSFORMER "transformer/diffusion_pytorch_model.safetensors"
#define INDEX TRANSFORMER ".index.json"
#define VAE_WEIGHTS "vae/diffusion_pytorch_model.safetensors"
#define SHARD(n) "transformer/diffusion_pytorch_model-0000" n "-of-00006.safetensors"

/* A literal for the members of a message, which are not const. */
#define TEXT(literal) ((char[]){ literal })

/* One import's surroundings. */
struct world {
	char *root;                     /* temporary, holds both */
	char *model, *store;            /* folders in it */
	int cancel_after;               /* asks left until cancelled; < 0: never */
	char *statuses;                 /* all lines seen, each ending in \n */
};

/* golden: "zimage-a" */
void world_init(struct world *w, const char *golden);
void world_finish(struct world *w);
/* The copy becomes model "m" unless the request names another target or source. */
int world_import(struct world *w, struct msg_import request, struct import_result *ret,
		 struct err *err);
void world_must_import(struct world *w, struct msg_import request, struct import_result *ret);
/* What the store holds: the caller's to free. */
struct manifest *world_manifest(struct world *w, const char *name);
char *world_blob(struct world *w, const struct layer *layer);

#endif
