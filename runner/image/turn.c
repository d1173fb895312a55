/*
 * Turning pixels as EXIF's orientation asks for. Owns nothing; any thread.
 */
#include <stdbool.h>
#include <stddef.h>

#include "runner/image/image_private.h"

/* Where the upright picture's pixels come from: of the file's, by rows or by columns. */
static const struct turn {
	bool transposed, from_right, from_below;
} turns[9] = {
	[2] = { false, true, false },
	[3] = { false, true, true },
	[4] = { false, false, true },
	[5] = { true, false, false },
	[6] = { true, false, true },
	[7] = { true, true, true },
	[8] = { true, true, false },
};

/* step: bytes from one pixel of a row to the next in the source. */
static void copy_pixels(const uint8_t *from, ptrdiff_t step, uint8_t *to, uint32_t n,
			uint32_t channels)
{
	for (; n; n--, from += step, to += channels)
		for (uint32_t c = 0; c < channels; c++)
			to[c] = from[c];
}

int image_turn(struct image *im, unsigned orientation, const struct image_watch *watch,
	       struct err *err)
{
	const struct turn *turn = &turns[orientation];
	ptrdiff_t pixel = im->channels, row = (ptrdiff_t)image_row_bytes(im);
	const uint8_t *from = im->pixels;
	struct image upright;
	int r;

	if (orientation == 1)
		return 0;
	r = image_new(turn->transposed ? im->height : im->width,
		      turn->transposed ? im->width : im->height, im->channels, &upright, err);
	if (r < 0)
		return r;
	if (turn->from_right) {
		from += (im->width - 1) * pixel;
		pixel = -pixel;
	}
	if (turn->from_below) {
		from += (im->height - 1) * row;
		row = -row;
	}
	for (uint32_t y = 0; y < upright.height; y++) {
		r = image_ask(watch, err);
		if (r < 0) {
			image_finish(&upright);
			return r;
		}
		copy_pixels(from + (ptrdiff_t)y * (turn->transposed ? pixel : row),
			    turn->transposed ? row : pixel, image_row(&upright, y), upright.width,
			    im->channels);
	}
	image_finish(im);
	*im = upright;
	return 0;
}
