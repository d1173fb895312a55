/*
 * Finds where barriers must stand from what kernels read and write. Pure, any thread.
 */
#include "runner/graph/hazard.h"

static bool overlap(const struct range *a, const struct range *b)
{
	return a->buffer == b->buffer && a->begin < b->end && b->begin < a->end;
}

static bool any_overlap(const struct range *list, unsigned n, const struct range *r)
{
	for (unsigned i = 0; i < n; i++)
		if (overlap(&list[i], r))
			return true;
	return false;
}

static bool covered(const struct range *list, unsigned n, const struct range *r)
{
	for (unsigned i = 0; i < n; i++)
		if (list[i].buffer == r->buffer && list[i].begin <= r->begin && r->end <= list[i].end)
			return true;
	return false;
}

static bool conflict(const struct hazards *h, const struct range *reads, unsigned n_reads, const struct range *write)
{
	if (h->n_reads + n_reads > HAZARD_RANGES || h->n_writes + 1 > HAZARD_RANGES)
		return true;
	for (unsigned i = 0; i < n_reads; i++)
		if (any_overlap(h->writes, h->n_writes, &reads[i]))
			return true;
	return any_overlap(h->reads, h->n_reads, write) || any_overlap(h->writes, h->n_writes, write);
}

void hazards_clear(struct hazards *h)
{
	h->n_reads = 0;
	h->n_writes = 0;
}

bool hazards_note(struct hazards *h, const struct range *reads, unsigned n_reads, struct range write)
{
	const bool barrier = conflict(h, reads, n_reads, &write);

	if (barrier)
		hazards_clear(h);
	for (unsigned i = 0; i < n_reads; i++)
		if (!covered(h->reads, h->n_reads, &reads[i]))
			h->reads[h->n_reads++] = reads[i];
	h->writes[h->n_writes++] = write;
	return barrier;
}
