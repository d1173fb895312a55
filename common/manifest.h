#ifndef EASEL_COMMON_MANIFEST_H
#define EASEL_COMMON_MANIFEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/err.h"

#define MEDIA_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_CONFIG   "application/vnd.docker.container.image.v1+json"
#define MEDIA_TENSOR   "application/vnd.ollama.image.tensor"
#define MEDIA_JSON     "application/vnd.ollama.image.json"
#define MEDIA_LICENSE  "application/vnd.ollama.image.license"
#define MEDIA_TEMPLATE "application/vnd.ollama.image.template"
#define MEDIA_SYSTEM   "application/vnd.ollama.image.system"
#define MEDIA_PARAMS   "application/vnd.ollama.image.params"

/* One entry; strings are owned. */
struct layer {
	char *media_type;
	char digest[DIGEST_SIZE];
	uint64_t size;                  /* bytes of the blob */
	char *name;                     /* "component/tensor" or file path; NULL when absent */
	char *from;                     /* short name of the model it came from, or NULL */
	char *dtype;                    /* tensors: written for "show", never trusted; NULL when absent */
	json_t *shape;                  /* likewise */
};

/* A tag: the layers of one model. */
struct manifest {
	struct layer config;            /* config.digest is "" when the manifest has none */
	struct layer *layers;
	size_t n_layers;
	char digest[DIGEST_SIZE];       /* of the manifest's bytes */
	int64_t mtime_ns;               /* of the tag, Unix time; 0 when not read from disk */
	unsigned shares;                /* owners beyond the first */
};

/* Checks digests, sizes and names while parsing; unknown members are tolerated. -EBADMSG. */
int manifest_parse(const char *bytes, size_t len, struct manifest **ret, struct err *err);
/* One line of JSON plus newline, members in the reference's order; the caller frees. */
char *manifest_print(const struct manifest *m, size_t *ret_len);
struct manifest *manifest_create(void);
void manifest_free(struct manifest *m);         /* one owner's; NULL is fine */
/* One more owner, who must not change it; it must be freed once more. */
struct manifest *manifest_share(struct manifest *m);
/* Appends a layer (strings are copied, may be NULL); NULL without memory. Valid until the next add. */
struct layer *manifest_add(struct manifest *m, const char *media_type, const char *digest,
			   uint64_t size, const char *name);
const struct layer *manifest_find(const struct manifest *m, const char *media_type, const char *name);
uint64_t manifest_size(const struct manifest *m);       /* layers and config, as "list" shows */

#endif
