#ifndef EASEL_SHADERS_SHADERS_H
#define EASEL_SHADERS_SHADERS_H

#include <stddef.h>
#include <stdint.h>

/* The SPIR-V modules, one per row of shaders/meson.build. */
enum shader {
#define SHADER(name) SHADER_##name,
#include "shader_rows.h"
#undef SHADER
	SHADER_COUNT
};

struct shader_code {
	const char *name;
	const uint32_t *words;
	size_t bytes;
};
extern const struct shader_code shader_table[SHADER_COUNT];

#endif
