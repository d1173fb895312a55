#ifndef EASEL_COMMON_DTYPE_H
#define EASEL_COMMON_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Element types of safetensors files. */
enum dtype {
	DTYPE_NONE, DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64,
	DTYPE_I8, DTYPE_I16, DTYPE_I32, DTYPE_I64,
	DTYPE_U8, DTYPE_U16, DTYPE_U32, DTYPE_U64,
	DTYPE_BOOL, DTYPE_F8_E4M3, DTYPE_F8_E5M2,
};

enum dtype dtype_parse(const char *name);       /* "BF16", ...; DTYPE_NONE when unknown */
const char *dtype_name(enum dtype t);
size_t dtype_size(enum dtype t);                /* bytes of one element */
bool dtype_is_float(enum dtype t);              /* F32, F16, BF16: what the device computes with */

float bf16_to_f32(uint16_t bits);
float f16_to_f32(uint16_t bits);
/* Nearest, ties to even. */
uint16_t f32_to_bf16(float value);
uint16_t f32_to_f16(float value);
/* Widens n elements of an F32, F16 or BF16 array at any byte address. */
void dtype_to_f32(enum dtype t, const void *src, float *dst, size_t n);

#endif
