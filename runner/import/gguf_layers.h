#ifndef EASEL_RUNNER_IMPORT_GGUF_LAYERS_H
#define EASEL_RUNNER_IMPORT_GGUF_LAYERS_H

#include "runner/import/gguf.h"
#include "runner/import/layers.h"

/*
 * The transformer's tensors of a GGUF file, the plan's file of that index, as layers by
 * their diffusers names: blocks stay as they are stored. -EINVAL for what cannot be.
 */
int gguf_layers(struct plan *p, size_t file, const struct gguf *g, const struct options *options, struct err *err);

#endif
