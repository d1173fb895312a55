#ifndef EASEL_RUNNER_GRAPH_PLAN_H
#define EASEL_RUNNER_GRAPH_PLAN_H

#include <stddef.h>
#include <stdint.h>

/* Places things that live for a while into one piece of memory. Pure. */
struct plan_item {
	uint64_t bytes;
	uint32_t first, last;                   /* steps during which it lives, both included */
	uint64_t offset;                        /* the answer, a multiple of PLAN_ALIGN */
};
enum { PLAN_ALIGN = 256 };

/* Fills the offsets; *ret_bytes is the end of the last one. -ENOMEM without memory to think. */
int plan_place(struct plan_item *items, size_t n, uint64_t *ret_bytes);

#endif
