#ifndef EASEL_RUNNER_OPS_GROUPS_H
#define EASEL_RUNNER_OPS_GROUPS_H

#include <stdint.h>

/* One dimension of a dispatch holds at least 65535 groups; FLAT_GROUPS of kernel.glsl. */
enum { FLAT_GROUPS = 32768 };

static inline uint32_t ceil_div(uint64_t n, uint64_t d)
{
	return (uint32_t)((n + d - 1) / d);
}

static inline uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* n groups in x and y, as flat_group() counts. */
static inline void flat_groups(uint32_t groups[3], uint32_t n)
{
	groups[0] = n < FLAT_GROUPS ? n : FLAT_GROUPS;
	groups[1] = ceil_div(n, FLAT_GROUPS);
	groups[2] = 1;
}

/* n groups of rows in x and z, as row_group() counts, by columns in y. */
static inline void row_groups(uint32_t groups[3], uint32_t n, uint32_t columns)
{
	groups[0] = n < FLAT_GROUPS ? n : FLAT_GROUPS;
	groups[1] = columns;
	groups[2] = ceil_div(n, FLAT_GROUPS);
}

#endif
