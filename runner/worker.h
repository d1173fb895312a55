#ifndef EASEL_RUNNER_WORKER_H
#define EASEL_RUNNER_WORKER_H

#include <stddef.h>
#include <uv.h>

#include "common/err.h"
#include "common/proto.h"
#include "runner/inputs.h"

/*
 * The GPU thread: opens the device, loads one model, draws one picture at a time. The
 * loop hands it work and gets what it reports by events, on the loop's thread. Pictures
 * become files on another thread: an MSG_DRAWN frees the GPU thread for the next task, and
 * the MSG_IMAGE or MSG_FAILED of that job follows, perhaps between the next one's
 * progress, but before the next one's MSG_DRAWN. Events of one job come in order; at most
 * two pictures that are drawn are in memory. An MSG_PARTIAL comes before the MSG_IMAGE or
 * MSG_FAILED of its job.
 */
struct worker;

enum worker_event_type {
	WORKER_MESSAGE,                 /* to be sent as it is: hello, loading, ready, ... */
	WORKER_UNUSABLE,                /* no device: nothing more will come but the end */
	WORKER_ENDED,                   /* the thread is done; worker_free() is due */
};
struct worker_event {
	enum worker_event_type type;
	struct msg msg;                 /* WORKER_MESSAGE; owned strings */
	char *file;                     /* behind MSG_IMAGE and MSG_PARTIAL, else NULL */
	size_t file_len;
	char text[512];                 /* WORKER_UNUSABLE */
};
struct worker_task {
	struct msg msg;
	struct inputs inputs;           /* of MSG_GENERATE */
};
void worker_task_clear(struct worker_task *t);
/* Owns the event's contents from here on: worker_event_clear(). */
typedef void (*worker_handler)(void *context, struct worker_event *event);

/* device as vk_open() wants it. The first event is a hello or WORKER_UNUSABLE. */
int worker_create(uv_loop_t *loop, const char *device, worker_handler handler, void *context,
		  struct worker **ret, struct err *err);
/*
 * A load or generate message and its files, taken over (*t is zeroed). One at a time, the
 * next after its MSG_READY, MSG_DRAWN or MSG_FAILED.
 */
void worker_give(struct worker *w, struct worker_task *t);
/* Ends the job of that number if it is drawn or encoded now; it fails with -ECANCELED. */
void worker_cancel(struct worker *w, uint64_t job);
/* Cancels what runs and ends the thread; WORKER_ENDED tells when. */
void worker_stop(struct worker *w);
/* After WORKER_ENDED: joins and frees; the loop must run once more to close the handle. */
void worker_free(struct worker *w);

void worker_event_clear(struct worker_event *event);

#endif
