#ifndef EASEL_RUNNER_TRANSFORMER_AXES_H
#define EASEL_RUNNER_TRANSFORMER_AXES_H

#include <jansson.h>
#include <stdint.h>

#include "common/err.h"

/* n whole numbers from 1 to max out of a config's list into ret; -EINVAL naming the key. */
int axes_read(const json_t *list, const char *key, unsigned n, uint32_t max, uint32_t *ret,
	      struct err *err);
/* Rotary axes must be even and fill the head; -EINVAL naming the key. */
int axes_check(const uint32_t *dims, const char *key, unsigned n, uint32_t head_dim,
	       struct err *err);

#endif
