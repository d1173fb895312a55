/*
 * Cuts the rows of a node into bands that are short enough and can be bound. Pure.
 */
#include "runner/graph/band.h"

static uint32_t round_up(uint64_t rows, uint32_t multiple)
{
	return (uint32_t)((rows + multiple - 1) / multiple * multiple);
}

uint32_t band_rows(const struct band_rule *b)
{
	const uint32_t multiple = b->multiple ? b->multiple : 1;
	const uint64_t fit = b->max_bytes / b->row_bytes;
	uint64_t most = b->rows, n;

	if (b->whole)
		return fit < b->rows ? 0 : b->rows;
	if (b->row_ms > 0 && SLICE_MS / b->row_ms < (double)most)
		most = (uint64_t)(SLICE_MS / b->row_ms);
	if (most < multiple)
		most = multiple;
	if (most > fit)
		most = fit;
	if (most >= b->rows)
		return b->rows;
	most -= most % multiple;
	if (!most)
		return 0;
	n = (b->rows + most - 1) / most;
	return round_up((b->rows + n - 1) / n, multiple);
}
