#ifndef EASEL_RUNNER_VK_REFLECT_H
#define EASEL_RUNNER_VK_REFLECT_H

#include "runner/vk/vk.h"
#include "shaders/shaders.h"

/* What a kernel declares at a binding. */
enum binding { BINDING_NONE, BINDING_STORAGE, BINDING_FLOAT_TEXELS, BINDING_UINT_TEXELS };
struct bindings {
	enum binding kind[1 + VK_MAX_INPUTS];
};

/* Reads the declarations of one of easel's own modules (trusted: made by this build). */
void reflect_bindings(const struct shader_code *code, struct bindings *ret);

#endif
