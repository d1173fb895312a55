/*
 * RGB to PNG bytes in memory (libpng). Owns nothing; any thread.
 */
#include <errno.h>
#include <setjmp.h>

#include <png.h>
#include <zlib.h>

#include "runner/image/image.h"

struct png_job {
	struct buf *out;
	struct err *err;
	png_structp png;
	png_infop info;
	const uint8_t *rgb;
	uint32_t width, height;
	const struct image_watch *watch;
	int failed;                     /* the error's code */
};

static void on_error(png_structp png, png_const_charp text)
{
	struct png_job *job = png_get_error_ptr(png);

	if (!job->failed)
		job->failed = err_set(job->err, -EIO, "PNG: %s", text);
	longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
	(void)png;
	(void)text;
}

static void on_write(png_structp png, png_bytep data, size_t len)
{
	struct png_job *job = png_get_io_ptr(png);

	buf_append(job->out, data, len);
	if (buf_failed(job->out))
		png_error(png, "the picture does not fit its buffer");
}

static void on_flush(png_structp png)
{
	(void)png;
}

/* Alone in its function: no local lives across the longjmp. */
static int write_rows(struct png_job *job)
{
	uint32_t y;

	if (setjmp(png_jmpbuf(job->png)))
		return job->failed;
	png_set_IHDR(job->png, job->info, job->width, job->height, 8, PNG_COLOR_TYPE_RGB,
		     PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	/* Pixels of drawings never repeat exactly: searching for that is time lost. */
	png_set_compression_strategy(job->png, Z_RLE);
	png_set_filter(job->png, PNG_FILTER_TYPE_BASE, PNG_ALL_FILTERS);
	png_write_info(job->png, job->info);
	for (y = 0; y < job->height; y++) {
		job->failed = image_ask(job->watch, job->err);
		if (job->failed < 0)
			png_error(job->png, "");
		png_write_row(job->png, job->rgb + (size_t)y * job->width * 3);
	}
	png_write_end(job->png, job->info);
	return 0;
}

int image_write_png(const uint8_t *rgb, uint32_t width, uint32_t height,
		    const struct image_watch *watch, struct buf *out, struct err *err)
{
	struct png_job job = {
		.out = out, .err = err, .rgb = rgb, .width = width, .height = height,
		.watch = watch,
	};
	const size_t before = out->len;
	int r;

	job.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning);
	if (job.png)
		job.info = png_create_info_struct(job.png);
	if (!job.info) {
		png_destroy_write_struct(&job.png, NULL);
		return err_set(err, -ENOMEM, "PNG: out of memory");
	}
	png_set_write_fn(job.png, &job, on_write, on_flush);
	r = write_rows(&job);
	png_destroy_write_struct(&job.png, &job.info);
	if (r < 0 && out->len > before) {
		out->len = before;
		out->data[before] = '\0';
	}
	return r;
}
