#ifndef EASEL_RUNNER_GRAPH_HAZARD_H
#define EASEL_RUNNER_GRAPH_HAZARD_H

#include <stdbool.h>
#include <stdint.h>

/* What kernels have read and written since the last barrier, as byte ranges. Pure. */
struct range {
	const void *buffer;                     /* compared, never followed */
	uint64_t begin, end;
};
enum { HAZARD_RANGES = 128 };
struct hazards {
	struct range reads[HAZARD_RANGES], writes[HAZARD_RANGES];
	unsigned n_reads, n_writes;
};

void hazards_clear(struct hazards *h);
/*
 * Notes a kernel. True: it needs a barrier before it (read after write, write after
 * read or write; or nothing more can be remembered), and older ranges are forgotten.
 */
bool hazards_note(struct hazards *h, const struct range *reads, unsigned n_reads, struct range write);

#endif
