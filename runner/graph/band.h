#ifndef EASEL_RUNNER_GRAPH_BAND_H
#define EASEL_RUNNER_GRAPH_BAND_H

#include <stdbool.h>
#include <stdint.h>

/* One dispatch, and the dispatches of one command list, are not estimated above this. */
#define SLICE_MS 250.0

/* How the output rows of a node may be cut. */
struct band_rule {
	uint32_t rows;
	uint32_t multiple;                      /* of which bands start; 0: 1 */
	bool whole;                             /* not at all */
	double row_ms;                          /* estimated time of a row */
	uint64_t row_bytes, max_bytes;          /* of output; what one dispatch can bind */
};

/* Rows of a band, all but the last being equal; 0: even the smallest exceeds max_bytes. */
uint32_t band_rows(const struct band_rule *b);

#endif
