#ifndef EASEL_TESTS_GOLDEN_H
#define EASEL_TESTS_GOLDEN_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/safetensors.h"

/* Recorded values under tests/data/goldens; a file that is not there fails the test. */

/* "cases/x.json" -> its full path, in a buffer that the next call reuses. */
const char *golden_path(const char *format, ...) __attribute__((format(printf, 1, 2)));
json_t *golden_json(const char *path);
/* Whole file, NUL-terminated, the caller's to free. */
char *golden_text(const char *path, size_t *ret_len);
void golden_map(const char *path, struct safetensors *ret);

/* A float32 tensor; NULL when the file has none of that name. */
const float *golden_floats(const struct safetensors *st, const char *name, size_t *ret_n);
/* The greatest absolute difference; NaN counts as infinite. */
double max_difference(const float *a, const float *b, size_t n);
double rms(const float *a, size_t n);

#endif
