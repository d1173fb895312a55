#ifndef EASEL_CLI_BAR_H
#define EASEL_CLI_BAR_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

/* One line of the progress display each, at most columns wide. */

/* "importing x ⠋ "; at any time the next glyph each 100 ms. Without message the glyph alone. */
void bar_spinner(struct buf *out, const char *message, int64_t age_ms, unsigned columns);
/* The text left of a spinner that has stopped. */
void bar_message(struct buf *out, const char *message, unsigned columns);
/* "Generating  44% ▕████     ▏ 4/9", one column a step where they fit. */
void bar_steps(struct buf *out, uint64_t completed, uint64_t total, unsigned columns);
/* "label  88% ▕████   ▏ 790 B/ 897 B", rate, time left; bar as wide as columns allow. */
void bar_bytes(struct buf *out, const char *label, uint64_t completed, uint64_t total,
	       int64_t age_ms, unsigned columns);

/* Whole percent, cut; 100 for a total of 0. completed is clamped to total. */
unsigned bar_percent(uint64_t completed, uint64_t total);

#endif
