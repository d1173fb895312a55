/*
 * RGB to JPEG bytes in memory (libjpeg). Owns nothing; any thread.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include "runner/image/image_private.h"

enum { PIECE = 16384 };                 /* bytes on their way to the buffer */
#define FINE 90u                        /* from this quality on colours are as fine as brightness */

struct jpeg_job {
	struct jpeg_compress_struct jpeg;
	struct jpeg_error_mgr errors;
	jmp_buf leave;
	struct jpeg_destination_mgr to;
	JOCTET piece[PIECE];
	struct buf *out;
	const struct image *im;
	const struct image_output *how;
	const struct image_watch *watch;
	struct err *err;
	int failed;                     /* the error's code */
};

static void on_error(j_common_ptr jpeg)
{
	struct jpeg_job *job = jpeg->client_data;
	char text[JMSG_LENGTH_MAX];

	jpeg->err->format_message(jpeg, text);
	job->failed = err_set(job->err, -EIO, "JPEG: %s", text);
	longjmp(job->leave, 1);
}

static void on_message(j_common_ptr jpeg)
{
	(void)jpeg;
}

/*
 * Not jpeg_mem_dest(): when the picture is given up after its memory has grown, that
 * leaves its caller a pointer to what is freed already.
 */
static void on_begin(j_compress_ptr jpeg)
{
	struct jpeg_job *job = jpeg->client_data;

	job->to.next_output_byte = job->piece;
	job->to.free_in_buffer = PIECE;
}

static boolean on_full(j_compress_ptr jpeg)
{
	struct jpeg_job *job = jpeg->client_data;

	buf_append(job->out, job->piece, PIECE);
	on_begin(jpeg);
	return TRUE;
}

static void on_end(j_compress_ptr jpeg)
{
	struct jpeg_job *job = jpeg->client_data;

	buf_append(job->out, job->piece, PIECE - job->to.free_in_buffer);
}

static void set_up(struct jpeg_job *job)
{
	struct jpeg_compress_struct *jpeg = &job->jpeg;

	jpeg->image_width = job->im->width;
	jpeg->image_height = job->im->height;
	jpeg->input_components = 3;
	jpeg->in_color_space = JCS_RGB;
	jpeg_set_defaults(jpeg);
	jpeg_set_quality(jpeg, (int)job->how->quality, TRUE);
	jpeg->optimize_coding = TRUE;
	if (job->how->quality >= FINE)
		jpeg->comp_info[0].h_samp_factor = jpeg->comp_info[0].v_samp_factor = 1;
}

/* XMP specification, part 3, 1.1.3: an APP1 segment that begins with this name. */
static void write_xmp(struct jpeg_job *job)
{
	static const char name[] = "http://ns.adobe.com/xap/1.0/";
	const struct image_notes *notes = job->how->notes;
	const size_t len = notes && notes->xmp ? strlen(notes->xmp) : 0;

	if (!len || len > IMAGE_XMP_MAX)
		return;
	jpeg_write_m_header(&job->jpeg, JPEG_APP0 + 1, (unsigned)(sizeof name + len));
	for (size_t i = 0; i < sizeof name; i++)
		jpeg_write_m_byte(&job->jpeg, name[i]);
	for (size_t i = 0; i < len; i++)
		jpeg_write_m_byte(&job->jpeg, (unsigned char)notes->xmp[i]);
}

/* Alone in its function: no local lives across the longjmp. */
static int write_rows(struct jpeg_job *job)
{
	JSAMPROW row;

	if (setjmp(job->leave))
		return job->failed;
	jpeg_create_compress(&job->jpeg);
	job->jpeg.dest = &job->to;
	set_up(job);
	jpeg_start_compress(&job->jpeg, TRUE);
	write_xmp(job);
	while (job->jpeg.next_scanline < job->im->height) {
		if (image_ask(job->watch, job->err) < 0)
			return -ECANCELED;
		row = image_row(job->im, job->jpeg.next_scanline);
		jpeg_write_scanlines(&job->jpeg, &row, 1);
	}
	jpeg_finish_compress(&job->jpeg);
	return 0;
}

int image_write_jpeg(const struct image *im, const struct image_output *how,
		     const struct image_watch *watch, struct buf *out, struct err *err)
{
	struct jpeg_job job = {
		.to = { .init_destination = on_begin, .empty_output_buffer = on_full, .term_destination = on_end },
		.out = out, .im = im, .how = how, .watch = watch, .err = err,
	};
	int r;

	job.jpeg.err = jpeg_std_error(&job.errors);
	job.jpeg.client_data = &job;
	job.errors.error_exit = on_error;
	job.errors.output_message = on_message;
	r = write_rows(&job);
	jpeg_destroy_compress(&job.jpeg);
	return r;
}
