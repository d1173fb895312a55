#ifndef EASEL_RUNNER_IMAGE_IMAGE_H
#define EASEL_RUNNER_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/output_format.h"

/*
 * 8-bit pixels, row-major, top row first, upright. Channels: 1 (a mask), 3 (RGB) or
 * 4 (RGB and alpha that is not multiplied in).
 */
struct image {
	uint32_t width, height, channels;
	uint8_t *pixels;                        /* [height, width, channels], owned */
};
void image_finish(struct image *im);            /* frees and zeroes */

/*
 * Whether to stop, asked often enough that a yes is seen well within a second, however
 * large the picture: what is at work then gives -ECANCELED and no picture. NULL: never.
 */
struct image_watch {
	bool (*cancelled)(void *context);
	void *context;
};
/* Asks; 0, or -ECANCELED "cancelled". */
int image_ask(const struct image_watch *watch, struct err *err);

/* ---- in ---- */

/*
 * A PNG, JPEG or WebP file -> RGB, or RGB and alpha where the file has any. Turned
 * upright as its EXIF orientation says; 16 bits cut to 8, palettes, grey and CMYK
 * converted; of an animation the first frame. -EINVAL with the cause for anything else,
 * for a file that is cut off or damaged, and above max_pixels (at most LIMIT_INPUT_PIXELS),
 * which is checked before memory is taken.
 */
int image_read(const void *data, size_t len, uint32_t max_pixels, const struct image_watch *watch,
	       struct image *ret, struct err *err);
/* RGB and alpha -> RGB on white, in place; RGB stays. */
void image_flatten(struct image *im);
/*
 * What a mask says: 255 where the picture is drawn anew, 0 where it is kept. By alpha
 * (transparent: anew; a mask without alpha is taken by its brightness) or by brightness
 * (white: anew). Gives one channel of 0 and 255.
 */
int image_to_mask(const struct image *im, bool by_alpha, struct image *ret, struct err *err);

/* ---- sizes ---- */

enum image_filter { IMAGE_NEAREST, IMAGE_BICUBIC, IMAGE_LANCZOS };
/*
 * Pixel for pixel as Pillow's resize() of the same filter, columns first (Pillow 13 turns
 * the order round for pictures that lose much more height than width). 0, -ENOMEM or
 * -ECANCELED.
 */
int image_resize(const struct image *im, uint32_t width, uint32_t height, enum image_filter filter,
		 const struct image_watch *watch, struct image *ret, struct err *err);
/* The middle of im; width and height at most im's. */
int image_crop_middle(const struct image *im, uint32_t width, uint32_t height, struct image *ret,
		      struct err *err);
/*
 * Scaled so that it covers width x height, then the middle of it; IMAGE_LANCZOS for
 * pictures. -EINVAL where scaling alone would go above LIMIT_INPUT_PIXELS.
 */
int image_cover(const struct image *im, uint32_t width, uint32_t height, enum image_filter filter,
		const struct image_watch *watch, struct image *ret, struct err *err);
/*
 * A reference picture as Flux2KleinPipeline prepares it: at most 1024 x 1024 pixels
 * (Lanczos), then the middle, sides multiples of LIMIT_SIDE_MULTIPLE. -EINVAL for a side
 * below 64 pixels or a ratio above 8.
 */
int image_reference(const struct image *im, const struct image_watch *watch, struct image *ret,
		    struct err *err);
/*
 * The size of a picture made from im (spec api.md 5.6): a side that is 0 follows im's
 * ratio, both 0 follow its size scaled to at most 1024 a side; multiples of
 * LIMIT_SIDE_MULTIPLE within LIMIT_SIDE_MIN and LIMIT_SIDE.
 */
void image_output_size(const struct image *im, uint32_t *width, uint32_t *height);

/* ---- floats ---- */

/* RGB -> x [height * width, 3] in -1..1: v / 255 * 2 - 1. */
void image_to_float(const struct image *im, float *x);
/* pixel = round half to even(clamp(x / 2 + 0.5, 0, 1) * 255); x [h*w, 3] in -1..1. */
void image_from_float(const float *x, uint32_t width, uint32_t height, uint8_t *rgb);

/* ---- out ---- */

/*
 * What a file says beside its pixels: UTF-8, any may be NULL. PNG has all, as the texts
 * "parameters", "easel" and "XML:com.adobe.xmp"; JPEG and WebP the last alone.
 */
struct image_notes {
	char *parameters, *own, *xmp;           /* owned */
};
void image_notes_finish(struct image_notes *notes);     /* frees and zeroes */
#define IMAGE_XMP_MAX 65500u                    /* a longer one is left out of a JPEG */

struct image_output {
	enum output_format format;
	unsigned quality;                       /* JPEG and WebP: 0 to 100 */
	const struct image_notes *notes;        /* or NULL */
};
/*
 * im, RGB, as a file of that format appended to out: 8-bit PNG by adaptive filters, runs
 * and Huffman codes; JPEG with colours at half the size below quality 90; lossy WebP. -EIO,
 * -ENOMEM and -ECANCELED append nothing.
 */
int image_write(const struct image *im, const struct image_output *how,
		const struct image_watch *watch, struct buf *out, struct err *err);

#endif
