/*
 * The table of all kernels, in the order of enum shader. Read-only data, any thread.
 */
#include "shaders/shaders.h"

#include "shader_includes.h"

const struct shader_code shader_table[SHADER_COUNT] = {
#define SHADER(id) { .name = #id, .words = id##_spv, .bytes = sizeof id##_spv },
#include "shader_rows.h"
#undef SHADER
};
