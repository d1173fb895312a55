/*
 * PNG to RGB or RGB and alpha (libpng): palettes, grey and 1 to 16 bits widened or cut to
 * 8, interlaced or not. Gamma and colour profiles are not applied, and their chunks not
 * even unpacked; of an APNG the picture that every reader shows. Any thread.
 */
#include <errno.h>
#include <setjmp.h>
#include <string.h>

#include <png.h>

#include "common/limits.h"
#include "runner/image/image_private.h"

struct reading {
	struct image_file *file;
	size_t at;
	png_structp png;
	png_infop info;
	struct image image;
	struct err *err;
	int failed;                     /* the error's code */
};

static void on_error(png_structp png, png_const_charp text)
{
	struct reading *r = png_get_error_ptr(png);

	if (!r->failed)
		r->failed = err_set(r->err, -EINVAL, "%s", text);
	longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
	(void)png;
	(void)text;
}

static void on_read(png_structp png, png_bytep to, size_t len)
{
	struct reading *r = png_get_io_ptr(png);

	if (len > r->file->len - r->at)
		png_error(png, "the file is cut off");
	memcpy(to, r->file->data + r->at, len);
	r->at += len;
}

static void set_limits(png_structp png)
{
	/* Sizes are checked once they are known, with a text that says what is allowed. */
	png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
	png_set_chunk_malloc_max(png, LIMIT_PNG_CHUNK);
	png_set_chunk_cache_max(png, 1);
	/* Of what is not needed nothing is unpacked, however far it would inflate. */
	png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
	png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_AS_DEFAULT, (png_const_bytep)"eXIf", 1);
}

/* Has libpng give 8-bit RGB or RGBA rows, whatever the file holds. */
static void set_transforms(png_structp png, png_infop info)
{
	int type = png_get_color_type(png, info);

	if (type == PNG_COLOR_TYPE_PALETTE)
		png_set_palette_to_rgb(png);
	if (type == PNG_COLOR_TYPE_GRAY)
		png_set_expand_gray_1_2_4_to_8(png);
	if (png_get_valid(png, info, PNG_INFO_tRNS))
		png_set_tRNS_to_alpha(png);
	if (!(type & PNG_COLOR_MASK_COLOR))
		png_set_gray_to_rgb(png);
	png_set_strip_16(png);
}

static void read_orientation(struct reading *r)
{
	png_uint_32 len;
	png_bytep exif;

	if (png_get_eXIf_1(r->png, r->info, &len, &exif))
		r->file->orientation = exif_orientation(exif, len);
}

/* From our own code, past the error that is set already. */
static void give_up(struct reading *r, int code)
{
	r->failed = code;
	png_error(r->png, "");
}

static void read_header(struct reading *r)
{
	uint32_t width, height;
	int code;

	png_read_info(r->png, r->info);
	width = png_get_image_width(r->png, r->info);
	height = png_get_image_height(r->png, r->info);
	code = image_check_size(r->file, width, height, r->err);
	if (code < 0)
		give_up(r, code);
	set_transforms(r->png, r->info);
}

static void read_pixels(struct reading *r)
{
	uint32_t width = png_get_image_width(r->png, r->info);
	uint32_t height = png_get_image_height(r->png, r->info);
	int passes = png_set_interlace_handling(r->png), code;

	png_read_update_info(r->png, r->info);
	code = image_new(width, height, png_get_channels(r->png, r->info), &r->image, r->err);
	if (code < 0)
		give_up(r, code);
	if (png_get_rowbytes(r->png, r->info) != image_row_bytes(&r->image))
		png_error(r->png, "rows of an unexpected length");
	while (passes--) {
		for (uint32_t y = 0; y < height; y++) {
			code = image_ask(r->file->watch, r->err);
			if (code < 0)
				give_up(r, code);
			png_read_row(r->png, image_row(&r->image, y), NULL);
		}
	}
	png_read_end(r->png, r->info);
	read_orientation(r);
}

/* Alone in its function: no local lives across the longjmp. */
static int read_all(struct reading *r)
{
	if (setjmp(png_jmpbuf(r->png)))
		return r->failed;
	set_limits(r->png);
	read_header(r);
	read_pixels(r);
	return 0;
}

int image_read_png(struct image_file *file, struct image *ret, struct err *err)
{
	struct reading r = { .file = file, .err = err };
	int code;

	r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
	if (r.png)
		r.info = png_create_info_struct(r.png);
	if (!r.info) {
		png_destroy_read_struct(&r.png, NULL, NULL);
		return err_set(err, -ENOMEM, "out of memory");
	}
	png_set_read_fn(r.png, &r, on_read);
	code = read_all(&r);
	png_destroy_read_struct(&r.png, &r.info, NULL);
	*ret = r.image;
	return code;
}
