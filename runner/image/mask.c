/*
 * A picture that marks pixels of another one to what it says of each. Owns nothing; any
 * thread.
 */
#include "runner/image/image_private.h"

enum { HALF = 128 };

/* ITU-R 601 as Pillow rounds it. */
static uint8_t brightness(const uint8_t *rgb)
{
	return (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

static bool is_marked(const uint8_t *pixel, uint32_t channels, bool by_alpha)
{
	uint8_t light;

	if (channels == 4 && by_alpha)
		return pixel[3] < HALF;
	light = channels == 1 ? *pixel : brightness(pixel);
	/* White that is transparent is not painted: as if on black. */
	if (channels == 4)
		light = image_div255((uint32_t)light * pixel[3]);
	return light >= HALF;
}

int image_to_mask(const struct image *im, bool by_alpha, struct image *ret, struct err *err)
{
	size_t i, n = (size_t)im->width * im->height;
	int r = image_new(im->width, im->height, 1, ret, err);

	if (r < 0)
		return r;
	for (i = 0; i < n; i++)
		if (is_marked(im->pixels + i * im->channels, im->channels, by_alpha))
			ret->pixels[i] = 255;
	return 0;
}
