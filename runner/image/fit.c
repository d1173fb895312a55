/*
 * Pictures brought to the sizes that models take, and the size of what is made from one.
 * Owns nothing; any thread.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/limits.h"
#include "runner/image/image_private.h"

/* Of a reference picture: as Flux2KleinPipeline has them. */
#define REFERENCE_PIXELS   (1024 * 1024)
#define REFERENCE_SIDE_MIN 64u
#define REFERENCE_RATIO    8u
/* Of a picture whose size nobody states. */
#define OUTPUT_SIDE        1024u

int image_crop_middle(const struct image *im, uint32_t width, uint32_t height, struct image *ret,
		      struct err *err)
{
	uint32_t left = (im->width - width) / 2, top = (im->height - height) / 2;
	int r = image_new(width, height, im->channels, ret, err);

	if (r < 0)
		return r;
	for (uint32_t y = 0; y < height; y++)
		memcpy(image_row(ret, y), image_row(im, top + y) + (size_t)left * im->channels,
		       image_row_bytes(ret));
	return 0;
}

/* Resized, then the middle of it. */
static int resize_and_crop(const struct image *im, uint32_t resized_width, uint32_t resized_height,
			   enum image_filter filter, uint32_t width, uint32_t height,
			   const struct image_watch *watch, struct image *ret, struct err *err)
{
	struct image resized;
	int r;

	if (resized_width == im->width && resized_height == im->height)
		return image_crop_middle(im, width, height, ret, err);
	r = image_resize(im, resized_width, resized_height, filter, watch, &resized, err);
	if (r < 0)
		return r;
	r = image_crop_middle(&resized, width, height, ret, err);
	image_finish(&resized);
	return r;
}

int image_cover(const struct image *im, uint32_t width, uint32_t height, enum image_filter filter,
		const struct image_watch *watch, struct image *ret, struct err *err)
{
	uint64_t w = width, h = height;

	/* The side that would be too short decides; the other is cut down to whole pixels. */
	if (w * im->height > h * im->width)
		h = w * im->height / im->width;
	else
		w = h * im->width / im->height;
	if (w * h > LIMIT_INPUT_PIXELS)
		return err_set(err, -EINVAL, "%ux%u: too narrow to cover %ux%u; crop it first",
			       im->width, im->height, width, height);
	return resize_and_crop(im, (uint32_t)w, (uint32_t)h, filter, width, height, watch, ret,
			       err);
}

static uint32_t floor_multiple(uint32_t side)
{
	return side - side % LIMIT_SIDE_MULTIPLE;
}

int image_reference(const struct image *im, const struct image_watch *watch, struct image *ret,
		    struct err *err)
{
	uint32_t width = im->width, height = im->height;
	uint32_t small = width < height ? width : height, large = width < height ? height : width;
	double pixels = (double)width * height, scale;

	if (small < REFERENCE_SIDE_MIN)
		return err_set(err, -EINVAL, "%ux%u: a picture to refer to has sides of at least "
			       "%u pixels", width, height, REFERENCE_SIDE_MIN);
	if (large > (uint64_t)REFERENCE_RATIO * small)
		return err_set(err, -EINVAL, "%ux%u: a picture to refer to is at most %u times as "
			       "long as it is wide", width, height, REFERENCE_RATIO);
	if (pixels > REFERENCE_PIXELS) {
		scale = sqrt(REFERENCE_PIXELS / pixels);
		width = (uint32_t)(width * scale);
		height = (uint32_t)(height * scale);
	}
	return resize_and_crop(im, width, height, IMAGE_LANCZOS, floor_multiple(width),
			       floor_multiple(height), watch, ret, err);
}

/* side * of / per to the nearest multiple, within the limits. */
static uint32_t output_side(uint32_t side, uint32_t of, uint32_t per)
{
	const uint64_t multiple = LIMIT_SIDE_MULTIPLE;
	uint64_t v = (2 * (uint64_t)side * of + multiple * per) / (2 * multiple * per) * multiple;

	return v < LIMIT_SIDE_MIN ? LIMIT_SIDE_MIN : v > LIMIT_SIDE ? LIMIT_SIDE : (uint32_t)v;
}

void image_output_size(const struct image *im, uint32_t *width, uint32_t *height)
{
	uint32_t large = im->width > im->height ? im->width : im->height;
	uint32_t bound = large > OUTPUT_SIDE ? OUTPUT_SIDE : large;

	if (!*width && !*height) {
		*width = output_side(bound, im->width, large);
		*height = output_side(bound, im->height, large);
	} else if (!*width) {
		*width = output_side(*height, im->width, im->height);
	} else if (!*height) {
		*height = output_side(*width, im->height, im->width);
	}
}
