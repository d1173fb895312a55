/*
 * Pixels to files beside the GPU thread, so that it can draw the next picture meanwhile.
 * Owns the pictures in line. The loop's thread and, for encode(), one of libuv's pool.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/limits.h"
#include "runner/encoder.h"

struct waiting_picture {
	struct waiting_picture *next;
	struct picture picture;
};

void picture_finish(struct picture *p)
{
	image_finish(&p->rgb);
	image_notes_finish(&p->notes);
	*p = (struct picture){ 0 };
}

/* ---- on the pool's thread: nothing else touches what is at work until after() ---- */

static bool is_cancelled(void *context)
{
	struct encoder *e = context;

	return atomic_load(&e->cancelled);
}

static int scale(struct picture *p, const struct image_watch *watch, struct err *err)
{
	struct image scaled;
	int r;

	if (p->rgb.width == p->width && p->rgb.height == p->height)
		return 0;
	r = image_resize(&p->rgb, p->width, p->height, IMAGE_BICUBIC, watch, &scaled, err);
	if (r < 0)
		return r;
	image_finish(&p->rgb);
	p->rgb = scaled;
	return 0;
}

static void encode(uv_work_t *work)
{
	struct encoder *e = work->data;
	const struct image_watch watch = { .cancelled = is_cancelled, .context = e };
	struct picture *p = &e->picture;
	const struct image_output how = {
		.format = p->format, .quality = p->quality, .notes = &p->notes,
	};

	e->result = scale(p, &watch, &e->err);
	if (e->result == 0)
		e->result = image_write(&p->rgb, &how, &watch, &e->file, &e->err);
}

/* ---- the loop's side ---- */

static void after(uv_work_t *work, int status);

static void start(struct encoder *e, struct picture *p)
{
	e->picture = *p;
	*p = (struct picture){ 0 };
	e->work.data = e;
	e->busy = true;
	atomic_store(&e->cancelled, false);
	buf_init(&e->file, LIMIT_IMAGE);
	e->handler->begun(e->context, &e->picture);
	/* Fails for a missing callback only. */
	uv_queue_work(e->loop, &e->work, encode, after);
}

/* The first in line; false when there is none. */
static bool take(struct encoder *e, struct picture *ret)
{
	struct waiting_picture *w = e->first;

	if (!w)
		return false;
	e->first = w->next;
	if (!e->first)
		e->last = &e->first;
	*ret = w->picture;
	free(w);
	return true;
}

static void after(uv_work_t *work, int status)
{
	struct encoder *e = work->data;
	struct picture picture = e->picture, next;
	struct buf file = e->file;

	(void)status;                           /* nothing calls uv_cancel() */
	e->picture = (struct picture){ 0 };
	e->busy = false;
	if (atomic_load(&e->cancelled))
		e->result = err_set(&e->err, -ECANCELED, "cancelled");
	e->handler->done(e->context, &picture, &file, e->result, &e->err);
	buf_finish(&file);
	picture_finish(&picture);
	if (take(e, &next))
		start(e, &next);
	else
		e->handler->idle(e->context);
}

void encoder_init(struct encoder *e, uv_loop_t *loop, const struct encoder_handler *handler,
		  void *context)
{
	*e = (struct encoder){ .loop = loop, .handler = handler, .context = context };
	e->last = &e->first;
}

void encoder_add(struct encoder *e, struct picture *p)
{
	struct waiting_picture *w;

	if (!e->busy) {
		start(e, p);
		return;
	}
	w = calloc(1, sizeof *w);
	/* A picture that is lost would leave the gateway waiting for ever. */
	if (!w) {
		fputs("out of memory\n", stderr);
		abort();
	}
	w->picture = *p;
	*p = (struct picture){ 0 };
	*e->last = w;
	e->last = &w->next;
}

/* Those of a job out of the line, the last one first. */
static struct waiting_picture *take_job(struct encoder *e, uint64_t job)
{
	struct waiting_picture **link = &e->first, *taken = NULL, *w;

	while ((w = *link)) {
		if (w->picture.job != job) {
			link = &w->next;
			continue;
		}
		*link = w->next;
		w->next = taken;
		taken = w;
	}
	e->last = link;
	return taken;
}

void encoder_cancel(struct encoder *e, uint64_t job)
{
	struct waiting_picture *taken = take_job(e, job), *next;
	struct buf none = { 0 };
	struct err err;

	err_set(&err, -ECANCELED, "cancelled");
	if (e->busy && e->picture.job == job)
		atomic_store(&e->cancelled, true);
	/* done() may come back here. */
	for (; taken; taken = next) {
		next = taken->next;
		e->handler->done(e->context, &taken->picture, &none, err.code, &err);
		picture_finish(&taken->picture);
		free(taken);
	}
}

void encoder_stop(struct encoder *e)
{
	struct picture p;

	atomic_store(&e->cancelled, true);
	while (take(e, &p))
		picture_finish(&p);
}
