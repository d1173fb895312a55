#ifndef EASEL_CLI_PROGRESS_H
#define EASEL_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

struct element;

/*
 * What a command shows while it waits, on stderr: on a terminal a few lines that are
 * redrawn, elsewhere plain lines of text as things happen. A struct of zeroes shows
 * nothing and may be given to every function.
 */
struct progress {
	bool open, terminal;
	bool quiet;                     /* nothing at all when not on a terminal */
	struct element *elements;       /* spinners and bars from top to bottom */
	unsigned n_elements;
	unsigned drawn;                 /* lines of the last frame */
	int64_t next_ns;                /* when the next frame is due */
	struct buf frame;
};

void progress_open(struct progress *p, bool quiet);
/* A spinner with this text (may be empty) below the others, which stop. */
void progress_spin(struct progress *p, const char *message);
/* The step bar; pipes get "Generating: step 4/9" for every finished step. */
void progress_steps(struct progress *p, uint64_t completed, uint64_t total);
/* The byte bar of that label; pipes get a line every tenth. */
void progress_bytes(struct progress *p, const char *label, uint64_t completed, uint64_t total);
/* Ends the display: kept as it stands, or wiped away. Frees everything. */
void progress_close(struct progress *p, bool keep);

int progress_timeout(const struct progress *p); /* ms until a frame is due; -1: never */
void progress_draw(struct progress *p);         /* writes a frame */

#endif
