/*
 * JPEG to RGB (libjpeg-turbo): grey, YCbCr, RGB, CMYK and YCCK, baseline and progressive.
 * What libjpeg would only warn of and fill with grey is an error here. Any thread.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "common/limits.h"
#include "runner/image/image_private.h"

struct reading {
	struct jpeg_decompress_struct jpeg;
	struct jpeg_error_mgr errors;
	struct jpeg_progress_mgr progress;
	struct image_file *file;
	struct image image;
	struct err *err;
	int failed;                     /* the error's code */
	jmp_buf jump;
};

static void fail(struct reading *r, int code)
{
	r->failed = code;
	longjmp(r->jump, 1);
}

static void on_error(j_common_ptr jpeg)
{
	struct reading *r = jpeg->client_data;
	char text[JMSG_LENGTH_MAX];

	jpeg->err->format_message(jpeg, text);
	fail(r, err_set(r->err, jpeg->err->msg_code == JERR_OUT_OF_MEMORY ? -ENOMEM : -EINVAL,
			"%s", text));
}

/* Warnings after which parts of the picture are not what the file's maker saw. */
static bool is_damage(int code)
{
	return code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE ||
	       code == JWRN_ARITH_BAD_CODE || code == JWRN_MUST_RESYNC;
}

static void on_message(j_common_ptr jpeg, int level)
{
	struct reading *r = jpeg->client_data;

	if (level >= 0)
		return;                         /* traces */
	if (jpeg->err->msg_code == JWRN_JPEG_EOF)
		fail(r, err_set(r->err, -EINVAL, "the file is cut off"));
	if (is_damage(jpeg->err->msg_code))
		on_error(jpeg);
}

/*
 * A few bytes say "another pass over the whole picture": each costs its time. Called for
 * every row of blocks that is unpacked and every row of pixels that is read.
 */
static void on_progress(j_common_ptr jpeg)
{
	struct reading *r = jpeg->client_data;
	int code = image_ask(r->file->watch, r->err);
	uint64_t scans = (uint64_t)r->jpeg.input_scan_number;
	uint64_t pixels = (uint64_t)r->jpeg.image_width * r->jpeg.image_height;

	if (code < 0)
		fail(r, code);
	if (scans > LIMIT_JPEG_SCANS ||
	    scans * pixels > (uint64_t)LIMIT_JPEG_SCANS_LARGE * r->file->max_pixels)
		fail(r, err_set(r->err, -EINVAL, "more than %u scans; save the picture anew",
				(unsigned)scans - 1));
}

static void read_orientation(struct reading *r)
{
	jpeg_saved_marker_ptr m;

	for (m = r->jpeg.marker_list; m; m = m->next)
		if (m->data_length >= 6 && memcmp(m->data, "Exif\0\0", 6) == 0) {
			r->file->orientation = exif_orientation(m->data, m->data_length);
			return;
		}
}

static void read_header(struct reading *r)
{
	struct jpeg_decompress_struct *jpeg = &r->jpeg;
	int code;

	jpeg_mem_src(jpeg, r->file->data, r->file->len);
	jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xFFFF);
	jpeg_read_header(jpeg, TRUE);
	code = image_check_size(r->file, jpeg->image_width, jpeg->image_height, r->err);
	if (code < 0)
		fail(r, code);
	if (jpeg->num_components != 1 && jpeg->num_components != 3 && jpeg->num_components != 4)
		fail(r, err_set(r->err, -EINVAL, "%d colour components; 1, 3 and 4 are known",
				jpeg->num_components));
	jpeg->out_color_space = jpeg->num_components == 4 ? JCS_CMYK : JCS_RGB;
	read_orientation(r);
}

/* Inks are stored inverted, as Adobe's programs do and Pillow takes all such files to be. */
static void cmyk_to_rgb(const uint8_t *from, uint8_t *to, uint32_t n)
{
	for (; n; n--, from += 4, to += 3) {
		uint8_t light = from[3];

		for (int c = 0; c < 3; c++) {
			uint8_t ink = image_div255((255u - from[c]) * light);

			to[c] = (uint8_t)(ink < light ? light - ink : 0);
		}
	}
}

static void read_pixels(struct reading *r)
{
	struct jpeg_decompress_struct *jpeg = &r->jpeg;
	JSAMPARRAY inks = NULL;
	int code;

	jpeg_start_decompress(jpeg);
	code = image_new(jpeg->output_width, jpeg->output_height, 3, &r->image, r->err);
	if (code < 0)
		fail(r, code);
	if (jpeg->output_components == 4)
		inks = jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE,
					       4 * jpeg->output_width, 1);
	while (jpeg->output_scanline < jpeg->output_height) {
		JSAMPROW row = image_row(&r->image, jpeg->output_scanline);

		jpeg_read_scanlines(jpeg, inks ? inks : &row, 1);
		if (inks)
			cmyk_to_rgb(inks[0], row, jpeg->output_width);
	}
	jpeg_finish_decompress(jpeg);
}

/* Alone in its function: no local lives across the longjmp. */
static int read_all(struct reading *r)
{
	if (setjmp(r->jump))
		return r->failed;
	jpeg_create_decompress(&r->jpeg);
	r->jpeg.progress = &r->progress;
	read_header(r);
	read_pixels(r);
	return 0;
}

int image_read_jpeg(struct image_file *file, struct image *ret, struct err *err)
{
	struct reading r = { .file = file, .err = err };
	int code;

	r.jpeg.err = jpeg_std_error(&r.errors);
	r.jpeg.client_data = &r;
	r.errors.error_exit = on_error;
	r.errors.emit_message = on_message;
	r.progress.progress_monitor = on_progress;
	code = read_all(&r);
	jpeg_destroy_decompress(&r.jpeg);
	*ret = r.image;
	return code;
}
