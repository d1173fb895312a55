/*
 * The rotary axes of a transformer's config, read and checked. Pure; any thread.
 */
#include <errno.h>

#include "runner/transformer/axes.h"

int axes_read(const json_t *list, const char *key, unsigned n, uint32_t max, uint32_t *ret,
	      struct err *err)
{
	unsigned i;

	if (json_array_size(list) != n)
		return err_set(err, -EINVAL, "%s must be a list of %u numbers", key, n);
	for (i = 0; i < n; i++) {
		json_int_t v = json_integer_value(json_array_get(list, i));

		if (v < 1 || v > max)
			return err_set(err, -EINVAL, "%s[%u] must be a whole number from 1 to %u",
				       key, i, max);
		ret[i] = (uint32_t)v;
	}
	return 0;
}

int axes_check(const uint32_t *dims, const char *key, unsigned n, uint32_t head_dim,
	       struct err *err)
{
	uint32_t i, sum = 0;

	if (head_dim % 4)
		return err_set(err, -EINVAL, "head dim %u is no multiple of 4", head_dim);
	for (i = 0; i < n; i++) {
		if (dims[i] % 2)
			return err_set(err, -EINVAL, "%s[%u] is odd", key, i);
		sum += dims[i];
	}
	if (sum != head_dim)
		return err_set(err, -EINVAL, "%s sum to %u, but the head dim is %u", key, sum,
			       head_dim);
	return 0;
}
