#ifndef EASEL_RUNNER_IMAGE_IMAGE_PRIVATE_H
#define EASEL_RUNNER_IMAGE_IMAGE_PRIVATE_H

#include "runner/image/image.h"

/* What the files of this folder share, and what the fuzz targets call. */

/* Zeroed pixels; -ENOMEM. */
int image_new(uint32_t width, uint32_t height, uint32_t channels, struct image *ret,
	      struct err *err);
static inline size_t image_row_bytes(const struct image *im)
{
	return (size_t)im->width * im->channels;
}
static inline uint8_t *image_row(const struct image *im, uint32_t y)
{
	return im->pixels + y * image_row_bytes(im);
}
/* x / 255, to the nearest; x up to 255 * 255. */
static inline uint8_t image_div255(uint32_t x)
{
	x += 128;
	return (uint8_t)((x + (x >> 8)) >> 8);
}

/* ---- decoders: RGB, or RGB and alpha, as the file has it, not yet turned ---- */

struct image_file {
	const uint8_t *data;
	size_t len;
	uint32_t max_pixels;
	const struct image_watch *watch; /* or NULL */
	unsigned orientation;           /* set by the decoder: EXIF's 1..8; 1 without any */
};
/* -EINVAL without the format's name in front; *ret is empty then. */
typedef int image_decoder(struct image_file *file, struct image *ret, struct err *err);
image_decoder image_read_png, image_read_jpeg, image_read_webp;

/* ---- encoders: as image_write(), but what they appended may stay after an error ---- */

typedef int image_encoder(const struct image *im, const struct image_output *how,
			  const struct image_watch *watch, struct buf *out, struct err *err);
image_encoder image_write_png, image_write_jpeg, image_write_webp;

/* What a file claims to hold, checked before memory is taken for it. -EINVAL. */
int image_check_size(const struct image_file *file, uint32_t width, uint32_t height,
		     struct err *err);
/* One decoder, and the turn that its orientation asks for. */
int image_decode(image_decoder *decode, struct image_file *file, struct image *ret,
		 struct err *err);

/* ---- EXIF ---- */

/* The orientation of a TIFF block, "Exif\0\0" in front of it or not; 1 for anything wrong. */
unsigned exif_orientation(const uint8_t *data, size_t len);
/* Makes im upright; its pixels are replaced. -ENOMEM, -ECANCELED: im is as it was. */
int image_turn(struct image *im, unsigned orientation, const struct image_watch *watch,
	       struct err *err);

#endif
