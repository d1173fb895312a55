/*
 * Pixels to PNG beside the GPU thread, so that it can draw the next picture meanwhile.
 * The loop's thread and, for encode(), one of libuv's pool.
 */
#include <errno.h>

#include "common/limits.h"
#include "runner/encoder.h"

void picture_finish(struct picture *p)
{
	image_finish(&p->rgb);
	*p = (struct picture){ 0 };
}

static bool is_cancelled(void *context)
{
	struct encoder *e = context;

	return atomic_load(&e->cancelled);
}

/* On the pool's thread: nothing else touches these members until after(). */
static void encode(uv_work_t *work)
{
	struct encoder *e = work->data;
	const struct image_watch watch = { .cancelled = is_cancelled, .context = e };
	const struct image *rgb = &e->picture.rgb;

	e->result = image_write_png(rgb->pixels, rgb->width, rgb->height, &watch, &e->png, &e->err);
	if (e->result == 0 && buf_failed(&e->png))
		e->result = err_set(&e->err, -ENOMEM, "the picture is too large");
}

static void after(uv_work_t *work, int status)
{
	struct encoder *e = work->data;
	struct picture picture = e->picture;
	struct buf png = e->png;

	(void)status;                           /* nothing calls uv_cancel() */
	e->picture = (struct picture){ 0 };
	e->busy = false;
	e->done(e->context, &picture, &png, e->result, &e->err);
	buf_finish(&png);
	picture_finish(&picture);
}

void encoder_start(struct encoder *e, struct picture *p)
{
	e->picture = *p;
	*p = (struct picture){ 0 };
	e->work.data = e;
	e->busy = true;
	atomic_store(&e->cancelled, false);
	buf_init(&e->png, LIMIT_IMAGE);
	/* Fails for a missing callback only. */
	uv_queue_work(e->loop, &e->work, encode, after);
}

void encoder_cancel(struct encoder *e)
{
	atomic_store(&e->cancelled, true);
}
