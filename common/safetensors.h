#ifndef EASEL_COMMON_SAFETENSORS_H
#define EASEL_COMMON_SAFETENSORS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/dtype.h"
#include "common/err.h"
#include "common/limits.h"

/* One entry of a checked header: begin <= end <= data bytes, end - begin = elements * dtype size. */
struct st_tensor {
	char *name;
	enum dtype dtype;
	unsigned rank;                          /* 0: a scalar */
	uint64_t shape[LIMIT_ST_RANK];
	uint64_t begin, end;                    /* bytes, relative to data_start */
};

struct safetensors {
	struct st_tensor *tensors;              /* sorted by name */
	size_t n_tensors;
	json_t *metadata;                       /* object of strings, or NULL */
	uint64_t data_start;                    /* file offset of the data region, any alignment */
	uint64_t file_size;
	const unsigned char *map;               /* the whole file, PROT_READ MAP_PRIVATE; NULL after _parse() */
};

/*
 * Checks a header: size, duplicate keys, shapes, dtypes,
 * ranges in bounds, not overlapping, no holes or trailing bytes. head holds the first
 * head_len bytes of a file of file_size bytes: at least the whole header.
 * -EBADMSG with what is wrong and where. Fill *ret; safetensors_finish() frees.
 */
int safetensors_parse(const void *head, size_t head_len, uint64_t file_size,
		      struct safetensors *ret, struct err *err);
/* Maps and checks a file; errors name the path. The map stays until safetensors_finish(). */
int safetensors_map(const char *path, struct safetensors *ret, struct err *err);
int safetensors_map_fd(int fd, const char *name_for_errors, struct safetensors *ret, struct err *err);
void safetensors_finish(struct safetensors *st);

const struct st_tensor *safetensors_find(const struct safetensors *st, const char *name);
/*
 * The main tensor of the blob of layer "component/tensor": key "tensor", then
 * "component/tensor", then "data". NULL if none is there.
 */
const struct st_tensor *safetensors_pick(const struct safetensors *st, const char *layer_name);
uint64_t st_tensor_elements(const struct st_tensor *t);
/* One tensor of a file to be written. */
struct st_entry {
	const char *key;
	enum dtype dtype;
	unsigned rank;
	const uint64_t *shape;
};
/*
 * Header of a file with these tensors, their data one behind the other, the first's at a
 * multiple of 64. metadata is an object of strings or NULL. The caller frees *ret.
 */
int safetensors_header(const struct st_entry *entries, size_t n, json_t *metadata,
		       char **ret, size_t *ret_len, struct err *err);

#endif
