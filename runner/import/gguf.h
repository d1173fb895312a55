#ifndef EASEL_RUNNER_IMPORT_GGUF_H
#define EASEL_RUNNER_IMPORT_GGUF_H

#include <stddef.h>
#include <stdint.h>

#include "common/dtype.h"
#include "common/err.h"
#include "runner/quant/quant.h"

/* The tensors of a GGUF file: versions 2 and 3, little-endian. Metadata is passed over. */
enum { GGUF_RANK = 4 };
struct gguf_tensor {
	char *name;
	enum dtype dtype;               /* F32, F16, BF16; U8 of blocks */
	struct quant quant;             /* blocks; zeroed: plain */
	unsigned rank;
	uint64_t shape[GGUF_RANK];      /* in elements, slowest first */
	uint64_t at, bytes;             /* in the file; at + bytes is inside */
};
struct gguf {
	struct gguf_tensor *tensors;    /* in the file's order */
	size_t n_tensors;
};
/*
 * data holds the first len bytes of a file of file_size, at least all before the tensors'
 * data. -EBADMSG with what is wrong; -EINVAL for a type that is not read. gguf_finish() frees.
 */
int gguf_parse(const void *data, size_t len, uint64_t file_size, struct gguf *ret, struct err *err);
void gguf_finish(struct gguf *g);

#endif
