#ifndef EASEL_GATEWAY_TRANSFER_PROGRESS_H
#define EASEL_GATEWAY_TRANSFER_PROGRESS_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

/* Who watches a pull or push; neither is called any more once it was cancelled. */
struct transfer_watcher {
	void (*line)(void *owner, json_t *line);        /* takes it over */
	/* err NULL: all is done. The transfer is void afterwards. */
	void (*done)(void *owner, const struct err *err);
};

/*
 * The lines of one transfer: a bar over all blobs, at most ten lines a second, never
 * going back. After a silence the last one is said again, so that a client and what lies
 * between see that somebody is there, and a client that left is noticed.
 */
struct progress_lines {
	const struct transfer_watcher *watcher;
	void *owner;
	const char *status;             /* "pulling model" */
	const char *digest;             /* names the bar; NULL: "sha256:model" */
	uint64_t (*count)(void *transfer);      /* bytes that are there */
	void *transfer;
	uint64_t total, told;
	bool barred;                    /* between begin and end */
	int64_t silence_ns;             /* the longest */
	unsigned n_silent;              /* intervals since the last line */
	json_t *last;
	struct event *timer;
};

int progress_lines_init(struct progress_lines *p, struct event_base *base, struct err *err);
void progress_lines_finish(struct progress_lines *p);   /* also of a zeroed one */
void progress_lines_status(struct progress_lines *p, const char *status);
void progress_lines_begin(struct progress_lines *p);    /* the first line of the bar */
void progress_lines_end(struct progress_lines *p);      /* the full one */

#endif
