/*
 * RGB to WebP bytes in memory (libwebp), lossy. Owns nothing; any thread.
 */
#include <errno.h>
#include <string.h>

#include <webp/encode.h>
#include <webp/mux.h>

#include "runner/image/image_private.h"

struct webp_job {
	const struct image_watch *watch;
	struct err *err;
	bool cancelled;
};

/* 0 stops the encoder. */
static int on_progress(int percent, const WebPPicture *picture)
{
	struct webp_job *job = picture->user_data;

	(void)percent;
	job->cancelled = job->cancelled || image_ask(job->watch, job->err) < 0;
	return !job->cancelled;
}

static int encode(struct webp_job *job, const struct image *im, unsigned quality,
		  WebPMemoryWriter *writer)
{
	WebPPicture picture;
	WebPConfig config;
	int r = 0;

	if (!WebPPictureInit(&picture) || !WebPConfigPreset(&config, WEBP_PRESET_DEFAULT, (float)quality))
		return err_set(job->err, -EIO, "WebP: the library is of another version");
	picture.width = (int)im->width;
	picture.height = (int)im->height;
	picture.writer = WebPMemoryWrite;
	picture.custom_ptr = writer;
	picture.progress_hook = on_progress;
	picture.user_data = job;
	if (!WebPPictureImportRGB(&picture, im->pixels, (int)image_row_bytes(im)) ||
	    !WebPEncode(&config, &picture))
		r = job->cancelled ? -ECANCELED :
		    err_set(job->err, picture.error_code == VP8_ENC_ERROR_OUT_OF_MEMORY ? -ENOMEM : -EIO,
			    "WebP: error %d of the encoder", picture.error_code);
	WebPPictureFree(&picture);
	return r;
}

/* The encoder's file with one more chunk. */
static int add_xmp(const WebPData *file, const char *xmp, struct buf *out, struct err *err)
{
	const WebPData text = { (const uint8_t *)xmp, strlen(xmp) };
	WebPMux *mux = WebPMuxCreate(file, 0);
	WebPData whole = { 0 };
	int r = 0;

	if (!mux || WebPMuxSetChunk(mux, "XMP ", &text, 0) != WEBP_MUX_OK ||
	    WebPMuxAssemble(mux, &whole) != WEBP_MUX_OK)
		r = err_set(err, -ENOMEM, "WebP: no memory for the picture's text");
	else
		buf_append(out, whole.bytes, whole.size);
	WebPDataClear(&whole);
	WebPMuxDelete(mux);
	return r;
}

int image_write_webp(const struct image *im, const struct image_output *how,
		     const struct image_watch *watch, struct buf *out, struct err *err)
{
	struct webp_job job = { .watch = watch, .err = err };
	const char *xmp = how->notes ? how->notes->xmp : NULL;
	WebPMemoryWriter writer;
	int r;

	WebPMemoryWriterInit(&writer);
	r = encode(&job, im, how->quality, &writer);
	if (r == 0 && xmp)
		r = add_xmp(&(WebPData){ writer.mem, writer.size }, xmp, out, err);
	else if (r == 0)
		buf_append(out, writer.mem, writer.size);
	WebPMemoryWriterClear(&writer);
	return r;
}
