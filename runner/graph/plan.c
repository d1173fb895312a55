/*
 * Lifetimes to offsets: the largest first, each into the tightest gap between those
 * that live at the same time. Pure, any thread.
 */
#include "runner/graph/plan.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static uint64_t aligned(uint64_t bytes)
{
	return (bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

static bool live_together(const struct plan_item *a, const struct plan_item *b)
{
	return a->first <= b->last && b->first <= a->last;
}

/* Large first; those of one size in order of time, so that the outcome is always the same. */
static int by_size(const void *a, const void *b)
{
	const struct plan_item *x = *(struct plan_item *const *)a, *y = *(struct plan_item *const *)b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return x < y ? -1 : x > y;
}

/* The smallest gap that fits below, between or else above the placed ones (sorted by offset). */
static uint64_t best_offset(struct plan_item *const *placed, size_t n, const struct plan_item *item)
{
	const uint64_t bytes = aligned(item->bytes);
	uint64_t end = 0, best = 0, best_gap = UINT64_MAX;

	for (size_t i = 0; i < n; i++) {
		const struct plan_item *p = placed[i];

		if (!live_together(p, item))
			continue;
		if (p->offset > end && p->offset - end >= bytes && p->offset - end < best_gap) {
			best_gap = p->offset - end;
			best = end;
		}
		if (p->offset + aligned(p->bytes) > end)
			end = p->offset + aligned(p->bytes);
	}
	return best_gap < UINT64_MAX ? best : end;
}

static void insert_by_offset(struct plan_item **placed, size_t n, struct plan_item *item)
{
	size_t at = n;

	while (at && placed[at - 1]->offset > item->offset)
		at--;
	memmove(&placed[at + 1], &placed[at], (n - at) * sizeof *placed);
	placed[at] = item;
}

int plan_place(struct plan_item *items, size_t n, uint64_t *ret_bytes)
{
	struct plan_item **order = calloc(2 * n + 1, sizeof *order);
	struct plan_item **placed = order + n;
	uint64_t bytes = 0;

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		order[i] = &items[i];
	qsort(order, n, sizeof *order, by_size);
	for (size_t i = 0; i < n; i++) {
		struct plan_item *item = order[i];

		item->offset = best_offset(placed, i, item);
		insert_by_offset(placed, i, item);
		if (item->offset + aligned(item->bytes) > bytes)
			bytes = item->offset + aligned(item->bytes);
	}
	free(order);
	*ret_bytes = bytes;
	return 0;
}
