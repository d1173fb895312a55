#ifndef EASEL_RUNNER_ENCODER_H
#define EASEL_RUNNER_ENCODER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

#include "common/buf.h"
#include "common/err.h"
#include "runner/image/image.h"

/* A picture that was drawn and is not sent yet. */
struct picture {
	uint64_t job, seed;
	uint32_t steps_reused;
	struct image rgb;                       /* owned */
};
void picture_finish(struct picture *p);         /* frees and zeroes */

/*
 * Makes a PNG of one picture at a time, on a thread of libuv's pool. All calls, and done,
 * on the loop's thread. png is the receiver's to take; its contents are void when r < 0.
 */
typedef void (*encoder_done)(void *context, const struct picture *p, struct buf *png, int r,
			     const struct err *err);
struct encoder {
	uv_loop_t *loop;
	encoder_done done;
	void *context;
	uv_work_t work;
	bool busy;
	struct picture picture;
	atomic_bool cancelled;
	struct buf png;
	struct err err;
	int result;
};

/* Zeroed but for loop, done and context. *p is taken over (zeroed); not while busy. */
void encoder_start(struct encoder *e, struct picture *p);
/* What is being encoded ends soon, with -ECANCELED. */
void encoder_cancel(struct encoder *e);

#endif
