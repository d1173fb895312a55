/*
 * Reads from SPIR-V what a kernel has at each binding: those that a specialization
 * leaves out still need a view of the right kind. Pure, any thread.
 */
#include "runner/vk/reflect.h"

#include <string.h>

/* Opcodes and numbers of the SPIR-V specification. */
enum {
	HEADER_WORDS = 5,
	OP_TYPE_INT = 21, OP_TYPE_IMAGE = 25, OP_TYPE_SAMPLED_IMAGE = 27, OP_TYPE_POINTER = 32,
	OP_VARIABLE = 59, OP_DECORATE = 71,
	DECORATION_BINDING = 33,
};

/* The first instruction of that opcode whose operand has that value; NULL: none. */
static const uint32_t *find(const struct shader_code *code, unsigned opcode, unsigned operand, uint32_t value)
{
	const uint32_t *at = code->words + HEADER_WORDS, *end = code->words + code->bytes / 4;

	while (at < end) {
		const uint32_t words = *at >> 16;

		if ((*at & 0xffff) == opcode && words > operand && at[operand] == value)
			return at;
		if (!words)
			break;
		at += words;
	}
	return NULL;
}

static enum binding kind_of(const struct shader_code *code, uint32_t variable)
{
	const uint32_t *v = find(code, OP_VARIABLE, 2, variable);
	const uint32_t *pointer = v ? find(code, OP_TYPE_POINTER, 1, v[1]) : NULL;
	const uint32_t *sampled = pointer ? find(code, OP_TYPE_SAMPLED_IMAGE, 1, pointer[3]) : NULL;
	const uint32_t *image = sampled ? find(code, OP_TYPE_IMAGE, 1, sampled[2]) : NULL;

	if (!image)
		return BINDING_STORAGE;
	return find(code, OP_TYPE_INT, 1, image[2]) ? BINDING_UINT_TEXELS : BINDING_FLOAT_TEXELS;
}

void reflect_bindings(const struct shader_code *code, struct bindings *ret)
{
	const uint32_t *at = code->words + HEADER_WORDS, *end = code->words + code->bytes / 4;

	memset(ret, 0, sizeof *ret);
	for (; at < end && *at >> 16; at += *at >> 16)
		if ((*at & 0xffff) == OP_DECORATE && at[2] == DECORATION_BINDING && at[3] < 1 + VK_MAX_INPUTS)
			ret->kind[at[3]] = kind_of(code, at[1]);
}
