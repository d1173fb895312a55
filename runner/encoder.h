#ifndef EASEL_RUNNER_ENCODER_H
#define EASEL_RUNNER_ENCODER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

#include "common/buf.h"
#include "common/err.h"
#include "runner/image/image.h"

/* A picture that was drawn, or what one is like in between, and is not sent yet. */
struct picture {
	uint64_t job, seed;
	uint32_t steps_reused, tokens;
	bool unfinished;
	uint32_t index;                         /* of the unfinished ones of its job */
	struct image rgb;                       /* owned */
	uint32_t width, height;                 /* of the file: rgb is scaled to it */
	enum output_format format;
	unsigned quality;
	struct image_notes notes;               /* owned */
};
void picture_finish(struct picture *p);         /* frees and zeroes */

/*
 * Makes files of pictures, one at a time and in the order they came, on a thread of
 * libuv's pool. All calls and callbacks on the loop's thread.
 */
struct encoder_handler {
	void (*begun)(void *context, const struct picture *p);  /* it is this one's turn */
	/* file is the receiver's to take; its contents are void when r < 0. */
	void (*done)(void *context, const struct picture *p, struct buf *file, int r,
		     const struct err *err);
	void (*idle)(void *context);            /* nothing is left; the encoder may be freed */
};
struct waiting_picture;
struct encoder {
	uv_loop_t *loop;
	const struct encoder_handler *handler;
	void *context;
	uv_work_t work;
	bool busy;
	struct waiting_picture *first, **last;
	struct picture picture;                 /* at work */
	atomic_bool cancelled;
	struct buf file;
	struct err err;
	int result;
};

void encoder_init(struct encoder *e, uv_loop_t *loop, const struct encoder_handler *handler,
		  void *context);
/* *p is taken over (zeroed). */
void encoder_add(struct encoder *e, struct picture *p);
/* The pictures of that job end, with -ECANCELED: those in line now, the one at work soon. */
void encoder_cancel(struct encoder *e, uint64_t job);
/* Those in line are forgotten, the one at work ends soon. */
void encoder_stop(struct encoder *e);

#endif
