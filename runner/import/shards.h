#ifndef EASEL_RUNNER_IMPORT_SHARDS_H
#define EASEL_RUNNER_IMPORT_SHARDS_H

#include <jansson.h>

#include "common/err.h"
#include "runner/import/source.h"

/*
 * Which weight files a component consists of: those of its one shard index, else the one
 * file without a variant in its name. Variants (".fp16.") are never mixed in.
 */
struct shards {
	char **files;                   /* names inside the component, byte order, NULL at the end */
	char *index;                    /* name of the index, or NULL */
	json_t *weight_map;             /* tensor -> file, or NULL */
};

/* -EINVAL names what is missing or the candidates. */
int shards_find(const struct source *s, const char *component, struct shards *ret, struct err *err);
void shards_finish(struct shards *s);

#endif
