/*
 * RGB to PNG bytes in memory (libpng). Owns nothing; any thread.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>
#include <zlib.h>

#include "common/utf8.h"
#include "runner/image/image_private.h"

struct png_job {
	struct buf *out;
	struct err *err;
	png_structp png;
	png_infop info;
	const struct image *im;
	const struct image_notes *notes;
	char *latin1;                   /* a note on its way */
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

/* The same text in Latin-1, the caller's to free; NULL when it has other letters. */
static char *to_latin1(const char *text)
{
	const size_t len = strlen(text);
	char *ret = malloc(len + 1), *to = ret;
	uint32_t code;

	for (size_t at = 0; ret && at < len; *to++ = (char)code) {
		at += utf8_decode(text + at, len - at, &code);
		if (code > 0xff) {
			free(ret);
			return NULL;
		}
	}
	if (ret)
		*to = '\0';
	return ret;
}

/* libpng copies the text. */
static void add_note(struct png_job *job, const char *keyword, char *text, bool international)
{
	png_text note = { .key = (char *)(uintptr_t)keyword, .text = text };

	if (!text)
		return;
	free(job->latin1);
	job->latin1 = international ? NULL : to_latin1(text);
	note.compression = job->latin1 ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
	if (job->latin1)
		note.text = job->latin1;
	png_set_text(job->png, job->info, &note, 1);
}

static void add_notes(struct png_job *job)
{
	if (!job->notes)
		return;
	add_note(job, "parameters", job->notes->parameters, false);
	add_note(job, "easel", job->notes->own, false);
	add_note(job, "XML:com.adobe.xmp", job->notes->xmp, true);
}

/* Alone in its function: no local lives across the longjmp. */
static int write_rows(struct png_job *job)
{
	uint32_t y;

	if (setjmp(png_jmpbuf(job->png)))
		return job->failed;
	png_set_IHDR(job->png, job->info, job->im->width, job->im->height, 8, PNG_COLOR_TYPE_RGB,
		     PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	/* Pixels of drawings never repeat exactly: searching for that is time lost. */
	png_set_compression_strategy(job->png, Z_RLE);
	png_set_filter(job->png, PNG_FILTER_TYPE_BASE, PNG_ALL_FILTERS);
	add_notes(job);
	png_write_info(job->png, job->info);
	for (y = 0; y < job->im->height; y++) {
		job->failed = image_ask(job->watch, job->err);
		if (job->failed < 0)
			png_error(job->png, "");
		png_write_row(job->png, image_row(job->im, y));
	}
	png_write_end(job->png, job->info);
	return 0;
}

int image_write_png(const struct image *im, const struct image_output *how,
		    const struct image_watch *watch, struct buf *out, struct err *err)
{
	struct png_job job = {
		.out = out, .err = err, .im = im, .notes = how->notes, .watch = watch,
	};
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
	free(job.latin1);
	return r;
}
